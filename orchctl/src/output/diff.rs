//! `diff`.

use roundtable_shared::view::DiffView;

use super::paint::{Paint, Style};

/// A unified diff as git writes it, coloured where colours are seen.
pub fn render(diff: &DiffView, paint: Paint) -> String {
    if diff.text.is_empty() {
        return "no changes\n".to_owned();
    }
    let mut text = String::with_capacity(diff.text.len());
    for line in diff.text.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        text.push_str(&paint.style(style_of(body), body));
        text.push_str(end);
    }
    text
}

fn style_of(line: &str) -> Style {
    match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Style::Strong,
        [b'+', ..] => Style::Good,
        [b'-', ..] => Style::Problem,
        [b'@', b'@', ..] => Style::Live,
        [b'd', b'i', b'f', b'f', ..] => Style::Strong,
        _ => Style::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_it_is_what_git_wrote() {
        let text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file";
        let diff = DiffView { text: text.into(), ..DiffView::default() };
        assert_eq!(render(&diff, Paint::plain()), text);
        assert_eq!(render(&DiffView::default(), Paint::plain()), "no changes\n");
    }
}
