//! Renders a mail view as plain text.
//!
//! Guarantees that no line begins with text of others, so that right-to-left text affects only the
//! rest of its own line, and cannot be mistaken for our own text.

use crate::mail::render::view_model::{MailItem, MailView};

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
    text.push('\n');
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
