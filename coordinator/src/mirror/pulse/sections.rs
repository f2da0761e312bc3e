//! The sections that make a file a pulse, and how their headings are written. A person's own sections are not here: they are whatever
//! stands in the file.

/// Headings are written like this, and found with or without the sign, in any case.
pub(super) const SECTIONS: [(SectionKind, &str, &str); 4] = [
    (SectionKind::MentalModel, "mental model", "## 🟢 Mental Model"),
    (SectionKind::NarrativeDelta, "narrative delta", "## 🟡 Narrative Delta"),
    (SectionKind::Risks, "risks & debt", "## 🔴 Risks & Debt"),
    (SectionKind::Anchors, "semantic anchors", "## 🔗 Semantic Anchors"),
];
/// The same for the parts of `Risks & Debt`.
pub(super) const SUBS: [(SubKind, &str, &str); 3] = [
    (SubKind::Warnings, "cognitive load warnings", "### Cognitive Load Warnings"),
    (SubKind::Debt, "technical debt", "### Technical Debt"),
    (SubKind::Decisions, "pending decisions", "### Pending Decisions"),
];

/// The four sections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SectionKind {
    MentalModel,
    NarrativeDelta,
    Risks,
    Anchors,
}

/// The three parts of `Risks & Debt`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SubKind {
    Warnings,
    Debt,
    Decisions,
}
