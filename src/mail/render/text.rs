//! Renders a mail view as plain text.
//!
//! Guarantees that no line begins with text of others, so that right-to-left text affects only the
//! rest of its own line, and cannot be mistaken for our own text.

use crate::mail::render::view_model::{MailItem, MailView, Table};

/// Widest column of a table that is padded, in characters.
const COLUMN_CHARS_MAX: usize = 60;

/// The plain text.
pub(super) fn text(view: &MailView) -> String {
    let mut text = String::new();
    for line in &view.intro {
        text.push_str(&format!("* {line}\n\n"));
    }
    for item in &view.items {
        push_item(&mut text, item);
    }
    // Text after `-- ` is a signature, which clients show small.
    text.push_str(&format!("-- \n{}\n", view.footer));
    text
}

fn push_item(text: &mut String, item: &MailItem) {
    text.push_str(&format!("# {}\n\n", item.title));
    for (name, value) in &item.facts {
        text.push_str(&format!("  {name:<10}  {value}\n"));
    }
    if !item.text.is_empty() {
        text.push_str(&format!("  {:<10}  {}\n", "what", item.text));
    }
    push_table(text, &item.table);
    if !item.table.rows.is_empty() && !item.more.is_empty() {
        text.push('\n');
    }
    for line in &item.more {
        text.push_str(&format!("  - {line}\n"));
    }
    if let Some(advice) = item.hint {
        text.push_str(&format!("\nWhat to do next:\n  {}\n", wrap_hint(advice)));
    }
    if !item.commands.is_empty() {
        text.push_str("\nTo look further:\n");
    }
    for command in &item.commands {
        text.push_str(&format!("  {command}\n"));
    }
    if let Some(link) = &item.link {
        text.push_str(&format!("\nTo acknowledge (asks before it does so):\n  {link}\n"));
    }
    text.push('\n');
}

/// Columns as wide as their widest cell; what follows a wide cell moves on.
fn push_table(text: &mut String, table: &Table) {
    if table.rows.is_empty() {
        return;
    }
    let width_of = |at: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(at)).map(|it| it.chars().count());
        let title = table.columns.get(at).map_or(0, |it| it.len());
        cells.max().unwrap_or(0).max(title).min(COLUMN_CHARS_MAX)
    };
    let widths: Vec<_> = (0..table.columns.len()).map(width_of).collect();
    let titles: Vec<_> = table.columns.iter().map(|it| (*it).to_owned()).collect();
    if !text.ends_with("\n\n") {
        text.push('\n');
    }
    for row in [&titles].into_iter().chain(&table.rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
}

/// Our own text in lines of 72 characters, indented.
fn wrap_hint(advice: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in advice.split(' ') {
        if width > 0 && width + 1 + word.len() > 70 {
            lines.push_str("\n  ");
            width = 0;
        } else if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(word);
        width += word.len();
    }
    lines
}
