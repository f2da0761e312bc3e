//! What hostile text becomes at each border, and that ordinary text stays as it is.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

/// What a hostile agent would write, between ordinary words.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "word",
        " ",
        "\n",
        "\t",
        "\r",
        "\u{1b}[31m",
        "\u{1b}[2J",
        "\u{1b}]0;title\u{7}",
        "\u{1b}",
        "\u{1b}P",
        "\u{9b}",
        "\u{0}",
        "\u{7f}",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{200d}",
        "\u{feff}",
        "\u{e0041}",
        "<!--",
        "-->",
        "<script>",
        "</b",
        "<",
        "![",
        "[",
        "](",
        "]:",
        "]",
        "!",
        "`",
        "``",
        "\\",
        "\\\\",
        "مرحبا",
        "שלום",
        "👩‍💻",
        "日本",
    ]);
    prop::collection::vec(prop_oneof![pieces.prop_map(str::to_owned), any::<char>().prop_map(String::from)], 0..40)
        .prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn nothing_harmful_survives_and_again_is_the_same(text in hostile()) {
        for clean in [plain, one_line, markdown] {
            let once = clean(&text);
            prop_assert!(!once.contains(is_harmful), "{once:?}");
            prop_assert_eq!(clean(&once), once);
        }
        let once = terminal(&text);
        prop_assert_eq!(terminal(&once), once);
    }

    #[test]
    fn ordinary_text_stays_as_it_is(text in "[a-zA-Z0-9 .,;:äöüßéא-תا-ي一-龥👩🎉]{0,60}") {
        prop_assert_eq!(plain(&text), text.clone());
        prop_assert_eq!(terminal(&text), text.clone());
        prop_assert_eq!(&*json(&text), text.as_str());
    }

    #[test]
    fn json_means_the_same(text in hostile()) {
        let document = serde_json::to_string_pretty(&serde_json::json!({ &text: [&text] })).unwrap();
        let safe = json(&document);
        prop_assert!(!safe.contains(is_harmful), "{safe:?}");
        let (one, other): (serde_json::Value, serde_json::Value) = (serde_json::from_str(&document).unwrap(), serde_json::from_str(&safe).unwrap());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn a_page_gets_no_element_image_or_link(text in hostile()) {
        let page = format!("- {}\n", markdown(&text));
        // Outside code spans each of these is escaped.
        let outside = without_code(&page);
        for (at, found) in ["<!", "<s", "</", "![", "](", "]:"].iter().flat_map(|mark| outside.match_indices(mark)) {
            let escapes = outside[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
            prop_assert!(escapes % 2 == 1, "{found} stands in {outside:?}");
        }
    }
}

/// The page as a reader of Markdown sees it, code spans left out. Written apart from what is tested.
fn without_code(page: &str) -> String {
    let chars: Vec<char> = page.chars().collect();
    let run = |at: usize| chars[at..].iter().take_while(|c| **c == '`').count();
    let (mut out, mut at) = (String::new(), 0);
    while at < chars.len() {
        if chars[at] == '\\' && at + 1 < chars.len() {
            out.extend([chars[at], chars[at + 1]]);
            at += 2;
        } else if chars[at] == '`' {
            let ticks = run(at);
            let mut end = at + ticks;
            while end < chars.len() && !(chars[end] == '`' && run(end) == ticks) {
                end += run(end).max(1);
            }
            at = if end < chars.len() { end + ticks } else { at + ticks };
            out.push('c');
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

#[test]
fn what_agents_said_and_what_people_see() {
    assert_eq!(plain("a\u{202e}cba\u{2066}x\u{9b}31m"), "acbax31m");
    assert_eq!(plain("\u{1b}[31mred\u{1b}[0m!\n\ttab"), "red!\n\ttab");
    assert_eq!(plain("\u{1b}]0;title\u{7}rest\u{1b}]8;;x\u{1b}\\link"), "rest\\link");
    assert_eq!(one_line("one\r\ntwo\rthree\u{2028}four\tfive"), "one two three four five");
    assert_eq!(terminal("\u{1b}[1;31mred\u{1b}[0m\u{1b}[2J\u{202e}"), "\u{1b}[1;31mred\u{1b}[0m");
    assert_eq!(markdown("<!-- hide --> Vec<T> a < b"), "\\<!-- hide --> Vec\\<T> a < b");
    assert_eq!(markdown("<script>x</script>"), "\\<script>x\\</script>");
    assert_eq!(markdown("![p](http://h/x.png) and [l](u) [r]: u"), "!\\[p]\\(http://h/x.png) and [l]\\(u) [r]\\: u");
    assert_eq!(markdown("use `Vec<T>` and `a](b`; \\<b> stays"), "use `Vec<T>` and `a](b`; \\<b> stays");
    assert_eq!(json("{\"a\":\"\u{202e}\u{e0041}\"}"), "{\"a\":\"\\u202e\\udb40\\udc41\"}");
    for kept in ["مرحبا بالعالم", "שלום עולם", "👩‍💻👨‍👩‍👧", "می‌خواهم", "日本語", "Grüße – „ja“"]
    {
        assert_eq!((plain(kept), markdown(kept)), (kept.to_owned(), kept.to_owned()));
    }
}
