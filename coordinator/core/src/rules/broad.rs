//! Whether the manifests an assignment agent proposes keep units apart. One that covers the whole tree, or meets most of the others, makes a plan run one unit
//! at a time: the agent is asked once more then, and told with whom it conflicts.

use std::collections::BTreeSet;

use roundtable_shared::UnitId;
use roundtable_shared::answer::{Proposal, Refusal};
use roundtable_shared::manifest::Manifest;

use crate::state::Run;

/// With fewer others nothing is gained by asking.
const OTHERS_MIN: usize = 3;

/// Plans larger than this are taken as they are: each pair is compared.
const UNITS_MAX: usize = 1000;

/// Units named in a reason.
const NAMED_MAX: usize = 8;

/// Entries that are the whole tree.
const EVERYTHING: [&str; 4] = ["**", "**/*", "**/**", "*"];

/// A unit as it would be.
struct Proposed<'a> {
    id: &'a UnitId,
    manifest: Manifest,
    /// Places of units it depends on.
    needs: Vec<usize>,
    /// The agent said what it writes.
    is_said: bool,
}

/// Manifests of the answer that are too broad, each with why that matters.
pub(crate) fn too_broad(run: &Run, proposals: &[Proposal]) -> Vec<Refusal> {
    let units = proposed(run, proposals);
    if units.len() > UNITS_MAX {
        return Vec::new();
    }
    let needed: Vec<BTreeSet<usize>> = (0..units.len()).map(|at| all_needed(&units, at)).collect();
    let said = (0..units.len()).filter(|at| units[*at].is_said);
    said.filter_map(|at| Some(Refusal { unit: units[at].id.to_string(), field: "writes".to_owned(), reason: reason(&units, &needed, at)? }))
        .collect()
}

fn proposed<'a>(run: &'a Run, proposals: &'a [Proposal]) -> Vec<Proposed<'a>> {
    let open: Vec<usize> =
        run.units().filter(|unit| unit.spec.runs && !unit.state().is_terminal()).map(|unit| unit.spec.position).collect();
    let place = |position: usize| open.iter().position(|at| *at == position);
    let of = |position: &usize| {
        let unit = &run.units[*position];
        let said = proposals.iter().find(|said| said.unit == unit.id);
        let (own_writes, own_reads) = (unit.assignment.manifest.writes.entries(), unit.assignment.manifest.reads.entries());
        let writes = said.and_then(|said| said.writes.as_deref()).unwrap_or(own_writes);
        let reads = said.and_then(|said| said.reads.as_deref()).unwrap_or(own_reads);
        let manifest = Manifest::new(writes, reads, run.options.ignore_case).unwrap_or_default();
        let also = said.iter().flat_map(|said| &said.depends_on).filter_map(|id| run.positions.get(id).copied());
        let needs = run.plan.needs[*position].iter().copied().chain(also).filter_map(place).collect();
        Proposed { id: &unit.id, manifest, needs, is_said: said.is_some_and(|said| said.writes.is_some()) }
    };
    open.iter().map(of).collect()
}

/// `needed`: per unit, all it depends on.
fn reason(units: &[Proposed<'_>], needed: &[BTreeSet<usize>], at: usize) -> Option<String> {
    let own = &units[at].manifest.writes;
    if let Some(entry) = own.entries().iter().find(|entry| EVERYTHING.contains(&entry.as_str())) {
        return Some(format!("`{entry}` is the whole tree, so nothing could run beside it; name the files and folders it really changes"));
    }
    // Units without a manifest wait for everybody whatever this one says.
    let others: Vec<usize> = (0..units.len()).filter(|other| *other != at && !units[*other].manifest.writes.is_empty()).collect();
    if others.len() < OTHERS_MIN {
        return None;
    }
    let met: Vec<usize> = others.iter().copied().filter(|other| own.conflicts(&units[*other].manifest.writes)).collect();
    // What depends on one another runs one after the other anyway.
    let ordered = |other: &usize| needed[at].contains(other) || needed[*other].contains(&at);
    if met.len() * 2 <= others.len() || met.iter().filter(|other| !ordered(other)).count() * 2 <= others.len() {
        return None;
    }
    let named: Vec<&str> = met.iter().take(NAMED_MAX).map(|other| units[*other].id.as_str()).collect();
    let more = if met.len() > NAMED_MAX { ", …" } else { "" };
    Some(format!(
        "it conflicts with {} of {} others ({}{more}); units whose writes overlap run one after the other, so name the files and folders it really changes, and put order that is needed into depends_on",
        met.len(),
        others.len(),
        named.join(", ")
    ))
}

/// All that a unit depends on, directly or not.
fn all_needed(units: &[Proposed<'_>], at: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut open = vec![at];
    while let Some(at) = open.pop() {
        open.extend(units[at].needs.iter().copied().filter(|next| seen.insert(*next)));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(id: &'static str, writes: &[&str], needs: &[usize]) -> (UnitId, Manifest, Vec<usize>) {
        (id.into(), Manifest::new(writes, &[], false).expect("a manifest"), needs.to_vec())
    }

    fn reasons(units: &[(UnitId, Manifest, Vec<usize>)]) -> Vec<(String, String)> {
        let units: Vec<Proposed<'_>> = units
            .iter()
            .map(|(id, manifest, needs)| Proposed { id, manifest: manifest.clone(), needs: needs.clone(), is_said: true })
            .collect();
        let needed: Vec<BTreeSet<usize>> = (0..units.len()).map(|at| all_needed(&units, at)).collect();
        (0..units.len()).filter_map(|at| Some((units[at].id.to_string(), reason(&units, &needed, at)?))).collect()
    }

    #[test]
    fn what_meets_more_than_half_of_the_others_or_everything_is_named() {
        let apart = ["a/", "b/", "c/", "d/"].map(|path| unit(path.trim_end_matches('/'), &[path], &[]));
        assert!(reasons(&apart).is_empty());
        let mut broad = apart.to_vec();
        broad.push(unit("5", &["a/", "b/x", "c/y"], &[]));
        let told = reasons(&broad);
        assert_eq!(told.len(), 1);
        assert!(told[0].0 == "5" && told[0].1.contains("3 of 4 others (a, b, c)"), "{told:?}");
        // Half of them is not more than half.
        broad[4] = unit("5", &["a/", "b/x"], &[]);
        assert!(reasons(&broad).is_empty());
        broad[4] = unit("5", &["docs/", "**"], &[]);
        assert!(reasons(&broad)[0].1.contains("`**` is the whole tree"));
        // One that comes after all the others costs nothing.
        broad[4] = unit("5", &["a/", "b/x", "c/y"], &[0, 1, 2, 3]);
        assert!(reasons(&broad).is_empty());
        assert!(reasons(&[unit("1", &["a/"], &[]), unit("2", &["a/"], &[])]).is_empty(), "of two there is nothing to gain");
    }
}
