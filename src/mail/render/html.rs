//! Renders a mail view as HTML.
//!
//! Guarantees that nothing of a view becomes markup, that each value is isolated from the text
//! direction around it, and that nothing is loaded or linked: it has no image, script, URL or style
//! sheet.

use crate::mail::render::view_model::{MailItem, MailView};

/// Words may have thousands of letters.
const CELL: &str = "padding:2px 12px 2px 0;vertical-align:top;overflow-wrap:anywhere";

/// The document.
pub(super) fn html(view: &MailView) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>{}</title>\n</head>\n\
         <body style=\"font-family:sans-serif;font-size:15px;line-height:1.4;max-width:44em\">\n",
        escape_html(&view.subject)
    );
    for line in &view.intro {
        html.push_str(&format!("<p style=\"overflow-wrap:anywhere\">{}</p>\n", isolated(line)));
    }
    for item in &view.items {
        push_item(&mut html, item);
    }
    let small = "font-size:12px;opacity:0.7;overflow-wrap:anywhere";
    html.push_str(&format!(
        "<hr>\n<p style=\"{small}\">{}</p>\n</body>\n</html>\n",
        isolated(&view.footer)
    ));
    html
}

fn push_item(html: &mut String, item: &MailItem) {
    html.push_str(&format!(
        "<h2 style=\"font-size:17px;overflow-wrap:anywhere\">{}</h2>\n<table>\n",
        isolated(&item.title)
    ));
    let what = ("what", item.text.clone());
    for (name, text) in item.facts.iter().chain((!what.1.is_empty()).then_some(&what)) {
        html.push_str(&format!(
            "<tr><th scope=\"row\" style=\"text-align:left;font-weight:normal;opacity:0.7;{CELL}\">\
             {name}</th><td style=\"{CELL}\">{}</td></tr>\n",
            isolated(text)
        ));
    }
    html.push_str("</table>\n");
    for line in &item.more {
        html.push_str(&format!("<p style=\"overflow-wrap:anywhere\">{}</p>\n", isolated(line)));
    }
    if let Some(advice) = item.hint {
        html.push_str(&format!("<p><b>What to do next:</b> {}</p>\n", escape_html(advice)));
    }
    if item.commands.is_empty() {
        return;
    }
    let commands: Vec<_> = item.commands.iter().map(|command| escape_html(command)).collect();
    html.push_str(&format!(
        "<p><b>To look further:</b></p>\n\
         <pre style=\"white-space:pre-wrap;overflow-wrap:anywhere\">{}</pre>\n",
        commands.join("\n")
    ));
}

/// A value in any script, isolated from its surroundings.
fn isolated(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape_html(text))
}

fn escape_html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
