//! Which option of a decision a word means, as people type it.

/// The place of the option: by number from 1, letter from `a`, keyword, or its text. `None` where it fits none.
pub fn option_index(keywords: &[String], options: &[String], typed: &str) -> Option<usize> {
    let typed = typed.trim();
    let count = keywords.len();
    if let Ok(number) = typed.parse::<usize>() {
        return (1..=count).contains(&number).then(|| number - 1);
    }
    let mut letters = typed.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        let at = (letter.to_ascii_lowercase() as usize).checked_sub('a' as usize)?;
        return (at < count).then_some(at);
    }
    let same = |text: &String| text.eq_ignore_ascii_case(typed);
    keywords.iter().position(same).or_else(|| options.iter().position(same))
}
