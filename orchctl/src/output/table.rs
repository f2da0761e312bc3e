//! Tables of at most 80 columns: one column gives way when there is too much.

use super::paint::{Paint, Style};
use super::text::{WIDTH, cut, pad, width};

/// Least columns of the column that gives way.
const FLEXIBLE_MIN: usize = 10;
/// Between two columns.
const GAP: &str = "  ";

/// A table being put together.
#[derive(Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    flexible: usize,
    right: Vec<usize>,
    notes_under: usize,
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Row {
    Cells(Vec<Cell>),
    /// A line below a row.
    Note(Cell),
}

/// A cell: text with its meaning.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text in a style.
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Style::Plain, text)
    }
}

impl Table {
    /// A table whose column `flexible` (from 0) is cut when a row would be too long.
    pub fn new<const N: usize>(headings: [&'static str; N], flexible: usize) -> Self {
        Self { headings: headings.to_vec(), flexible, right: Vec::new(), notes_under: 1, rows: Vec::new() }
    }

    /// Sets figures of that column flush right.
    #[must_use]
    pub fn right(mut self, column: usize) -> Self {
        self.right.push(column);
        self
    }

    /// Indents notes to that column [default: the second].
    #[must_use]
    pub fn notes_under(mut self, column: usize) -> Self {
        self.notes_under = column;
        self
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.headings.len(), "a row has a cell for each heading");
        self.rows.push(Row::Cells(cells.to_vec()));
    }

    /// Adds a line that belongs to the row before it.
    pub fn note(&mut self, note: impl Into<Cell>) {
        self.rows.push(Row::Note(note.into()));
    }

    /// The lines, each ended by a newline.
    pub fn render(&self, paint: Paint) -> String {
        let widths = self.widths();
        let mut text = String::new();
        if self.headings.iter().any(|heading| !heading.is_empty()) {
            let headings: Vec<Cell> = self.headings.iter().map(|heading| Cell::new(Style::Dim, *heading)).collect();
            self.push_line(&mut text, &headings, &widths, paint);
        }
        let indent: usize = widths.iter().take(self.notes_under).map(|width| width + GAP.len()).sum();
        for row in &self.rows {
            match row {
                Row::Cells(cells) => self.push_line(&mut text, cells, &widths, paint),
                Row::Note(cell) => {
                    let line = cut(&cell.text, WIDTH.saturating_sub(indent));
                    text.push_str(&format!("{:indent$}{}\n", "", paint.style(cell.style, &line)));
                }
            }
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headings.iter().map(|heading| width(heading)).collect();
        for row in &self.rows {
            if let Row::Cells(cells) = row {
                for (column, cell) in cells.iter().enumerate() {
                    widths[column] = widths[column].max(width(&cut(&cell.text, WIDTH)));
                }
            }
        }
        let others: usize =
            widths.iter().enumerate().filter(|(column, _)| *column != self.flexible).map(|(_, width)| width + GAP.len()).sum();
        if let Some(flexible) = widths.get_mut(self.flexible) {
            *flexible = (*flexible).min(WIDTH.saturating_sub(others).max(FLEXIBLE_MIN));
        }
        shrink_to_fit(&mut widths, self.flexible);
        widths
    }

    fn push_line(&self, text: &mut String, cells: &[Cell], widths: &[usize], paint: Paint) {
        let mut line = String::new();
        for (column, (cell, columns)) in cells.iter().zip(widths).enumerate() {
            let last = column + 1 == widths.len();
            let shown = cut(&cell.text, *columns);
            let space = columns.saturating_sub(width(&shown));
            let painted = paint.style(cell.style, &shown);
            if self.right.contains(&column) {
                line.push_str(&format!("{:space$}{painted}", ""));
            } else if last {
                line.push_str(&painted);
            } else {
                line.push_str(&format!("{painted}{:space$}", ""));
            }
            if !last {
                line.push_str(GAP);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// When the flexible column at its least is not enough, the widest of the others give way too.
fn shrink_to_fit(widths: &mut [usize], flexible: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > WIDTH {
        let widest = widths.iter().enumerate().filter(|(column, _)| *column != flexible).max_by_key(|(_, width)| **width);
        match widest {
            Some((column, width)) if *width > 4 => widths[column] -= 1,
            _ => break,
        }
    }
}

/// A list of `name  value` lines, names flush left.
pub fn facts(rows: &[(&str, String)], paint: Paint) -> String {
    let names = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        for (n, line) in super::text::wrap(value, WIDTH.saturating_sub(names + GAP.len())).iter().enumerate() {
            let name = if n == 0 { *name } else { "" };
            text.push_str(&format!("{}{GAP}{line}\n", paint.style(Style::Dim, &pad(name, names))));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flexible_column_gives_way() {
        let mut table = Table::new(["unit", "state", "title", "attempts"], 2).right(3);
        table.row(["1".into(), Cell::new(Style::Good, "completed"), "Store".into(), "2".into()]);
        table.row([
            "10".into(),
            "in_progress".into(),
            "A title that goes on and on until it has become far too long for the line".into(),
            "11".into(),
        ]);
        table.note(Cell::new(Style::Dim, "implement on host-1 for 2m10s"));
        insta::assert_snapshot!(table.render(Paint::plain()), @r"
        unit  state        title                                                attempts
        1     completed    Store                                                       2
        10    in_progress  A title that goes on and on until it has become fa…        11
              implement on host-1 for 2m10s
        ");
        assert!(table.render(Paint::plain()).lines().all(|line| width(line) <= WIDTH));
    }

    #[test]
    fn other_columns_give_way_when_they_must() {
        let mut table = Table::new(["a", "b", "c"], 1);
        table.row(["x".repeat(60).into(), "y".repeat(60).into(), "z".repeat(60).into()]);
        assert!(table.render(Paint::plain()).lines().all(|line| width(line) <= WIDTH));
    }

    #[test]
    fn facts_line_up_and_leave_out_what_is_unknown() {
        let rows = [("branch", "roundtable/x".to_owned()), ("cost", String::new()), ("took", "2m10s".to_owned())];
        assert_eq!(facts(&rows, Paint::plain()), "branch  roundtable/x\ntook    2m10s\n");
    }
}
