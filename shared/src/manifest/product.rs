//! Intersection of two wildcard sequences by the product automaton, with a witness. Used twice: for the characters of a segment and
//! for the segments of a path. Iterative, quadratic, exact.

/// One symbol of a witness: which element of which sequence it must match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Element of the left sequence, swallowed by a star on the right.
    Left(usize),
    /// Element of the right sequence, swallowed by a star on the left.
    Right(usize),
    /// Both elements at once.
    Both(usize, usize),
}

const UNSEEN: u8 = 0;
const START: u8 = 1;
const SKIP_LEFT: u8 = 2;
const SKIP_RIGHT: u8 = 3;
const LEFT: u8 = 4;
const RIGHT: u8 = 5;
const BOTH: u8 = 6;

/// A shared word of two sequences, or `None`. `star` says which elements stand for any number of symbols; `meets` whether two others share a symbol.
pub(super) fn intersect<T>(left: &[T], right: &[T], star: impl Fn(&T) -> bool, mut meets: impl FnMut(&T, &T) -> bool) -> Option<Vec<Step>> {
    let width = right.len() + 1;
    let mut seen = vec![UNSEEN; (left.len() + 1) * width];
    let mut open = vec![(0usize, 0usize)];
    seen[0] = START;
    while let Some((i, j)) = open.pop() {
        if i == left.len() && j == right.len() {
            return Some(trace(&seen, width, i, j));
        }
        let mut visit = |i: usize, j: usize, how: u8| {
            if seen[i * width + j] == UNSEEN {
                seen[i * width + j] = how;
                open.push((i, j));
            }
        };
        let left_star = i < left.len() && star(&left[i]);
        let right_star = j < right.len() && star(&right[j]);
        if left_star {
            if j < right.len() && !right_star {
                visit(i, j + 1, RIGHT);
            }
            visit(i + 1, j, SKIP_LEFT);
        }
        if right_star {
            if i < left.len() && !left_star {
                visit(i + 1, j, LEFT);
            }
            visit(i, j + 1, SKIP_RIGHT);
        }
        if !left_star && !right_star && i < left.len() && j < right.len() && meets(&left[i], &right[j]) {
            visit(i + 1, j + 1, BOTH);
        }
    }
    None
}

fn trace(seen: &[u8], width: usize, mut i: usize, mut j: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        match seen[i * width + j] {
            SKIP_LEFT => i -= 1,
            SKIP_RIGHT => j -= 1,
            LEFT => {
                i -= 1;
                steps.push(Step::Left(i));
            }
            RIGHT => {
                j -= 1;
                steps.push(Step::Right(j));
            }
            BOTH => {
                i -= 1;
                j -= 1;
                steps.push(Step::Both(i, j));
            }
            _ => break,
        }
    }
    steps.reverse();
    steps
}

/// Whether a word matches a sequence: greedy with one remembered star, so quadratic at worst.
pub(super) fn matches<T, S: Copy>(pattern: &[T], word: &[S], star: impl Fn(&T) -> bool, accepts: impl Fn(&T, S) -> bool) -> bool {
    let (mut p, mut w) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while w < word.len() {
        if p < pattern.len() && star(&pattern[p]) {
            retry = Some((p + 1, w));
            p += 1;
        } else if p < pattern.len() && accepts(&pattern[p], word[w]) {
            p += 1;
            w += 1;
        } else if let Some((after_star, from)) = retry {
            retry = Some((after_star, from + 1));
            p = after_star;
            w = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(star)
}
