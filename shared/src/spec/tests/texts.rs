//! The other files of a spec, and what is done to the text of a plan.

use std::collections::BTreeMap;

use super::*;

#[test]
fn ticking_changes_boxes_and_nothing_else() {
    let text = "\u{feff}- [ ] 1. A\r\n  - [-]* 1.1 B\r\n  - [ ] 1.2 C\r\n- [] 2. D [ ]\r\n```\r\n- [ ] 3. no\r\n```\r\n";
    let ticked = tick(text, &["1".into(), "1.1".into(), "2".into(), "3".into(), "9".into()]);
    assert_eq!(ticked, "\u{feff}- [x] 1. A\r\n  - [x]* 1.1 B\r\n  - [ ] 1.2 C\r\n- [x] 2. D [ ]\r\n```\r\n- [ ] 3. no\r\n```\r\n");
    assert_eq!(shape_text(text), shape_text(&ticked));
    assert_eq!(tick("no plan", &["1".into()]), "no plan");
}

#[test]
fn hashes_tell_progress_from_change() {
    let read = |text: &str| Spec::read(&BTreeMap::from([("tasks.md".to_owned(), text.as_bytes().to_vec())]), false).spec;
    let (one, ticked, other) = (read("- [ ] 1. A\n"), read("- [x] 1. A\r\n"), read("- [ ] 1. B\n"));
    assert_eq!(one.plan_hash(), ticked.plan_hash());
    assert_ne!(one.plan_hash(), other.plan_hash());
    assert_ne!(one.text_hash(), ticked.text_hash());
    let mut designed = one.clone();
    designed.design = Some(String::new());
    assert_ne!(designed.text_hash(), one.text_hash());
    assert_eq!(serde_json::from_str::<Spec>(&serde_json::to_string(&designed).unwrap()).unwrap(), designed);
}

const REQUIREMENTS: &str = "# Requirements Document

## Introduction

1. Not a criterion.

## Requirements

### Requirement 1: Tables

**User Story:** As a guest, I want a table.

#### Acceptance Criteria

1. WHEN a guest arrives THEN a table SHALL be free
2. WHEN it rains
   THEN it SHALL be inside
   1. near the window
3. last

### Requirement 2A

**Steps**
1. first of another list
2. second of another list

**Acceptance Criteria:**
1. criterion one

### 4. Numbered by itself

- 4.1: with a dash
- **4.2** in bold

### US-7: Stories
1) one

### FR-2.1 Functions
Text only.
";

#[test]
fn requirements_are_found_by_their_links() {
    let index = RequirementIndex::new(REQUIREMENTS);
    let text = |id: &str| index.get(id).map(|found| found.text.replace('\n', "/"));
    assert_eq!(text("1.1").unwrap(), "1. WHEN a guest arrives THEN a table SHALL be free");
    assert_eq!(text("1.2").unwrap(), "2. WHEN it rains/   THEN it SHALL be inside/   1. near the window");
    assert_eq!(text("1.3").unwrap(), "3. last");
    assert_eq!(index.get("1.3").unwrap().heading, "Requirement 1: Tables");
    assert!(text("1").unwrap().starts_with("**User Story:**") && text("1").unwrap().ends_with("3. last"));
    assert_eq!(text("2A.1").unwrap(), "1. criterion one");
    assert_eq!(text("2A.2").unwrap(), "2. second of another list");
    assert_eq!(text("4.2").unwrap(), "- **4.2** in bold");
    assert_eq!(text("US-7.1").unwrap(), "1) one");
    assert_eq!(text("FR-2.1").unwrap(), "Text only.");
    assert_eq!(text("9.1"), None);
    assert_eq!(text("1.9"), None);
}

#[test]
fn requirement_headings_of_many_kinds() {
    for heading in [
        "### Requirement 3",
        "### 要件3: x",
        "### 需求 3：x",
        "### Exigence 3 : x",
        "## 3. x",
        "### **Requirement 3**",
        "### Requirement #3",
        "### 3 x",
    ] {
        let text = format!("# R\n\n{heading}\n\n1. first\n2. second\n\n## End\n3. no\n");
        let index = RequirementIndex::new(&text);
        assert_eq!(index.get("3.2").map(|found| found.text), Some("2. second"), "{heading}");
        assert_eq!(index.get("3.3"), None, "{heading}");
    }
    let spec = Spec { bugfix: Some("## Requirement 1\n1. b\n".to_owned()), ..Spec::default() };
    assert_eq!(spec.requirement("1.1").unwrap().text, "1. b");
}

#[test]
fn the_pulse_takes_overview_and_first_diagram() {
    let text = "# Design\n\nPreface.\n\n## Overview\n\n- a list\n\nFirst line\nsecond line.\n\nNext paragraph.\n\n## Flow\n\n```rust\n// ```mermaid\n```\n\n```mermaid\ngraph TD\n  A --> B\n```\n\n```mermaid\nother\n```\n";
    assert_eq!(design_overview(text).unwrap(), "First line second line.");
    assert_eq!(first_mermaid(text).unwrap(), "graph TD\n  A --> B");
    assert_eq!(design_overview("# T\n\n## 1. 概要\n\n設計。\n").unwrap(), "設計。");
    assert_eq!(design_overview("# T\n\nOnly this.\n").unwrap(), "Only this.");
    assert_eq!(design_overview("# T\n"), None);
    assert_eq!(first_mermaid("# T\n```\nmermaid\n```\n"), None);
    assert_eq!(first_mermaid("~~~ mermaid\nx\n~~~"), Some("x"));
}
