//! Renders a mail view as HTML.
//!
//! Guarantees that nothing of a view becomes markup, that each value is isolated from the text
//! direction around it, and that nothing is loaded or linked: it has no image, script, URL or style
//! sheet.

use super::view::{Item, View};

/// Words may have thousands of letters.
const CELL: &str = "padding:2px 12px 2px 0;vertical-align:top;overflow-wrap:anywhere";

/// The document.
pub(super) fn html(view: &View) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>{}</title>\n</head>\n\
         <body style=\"font-family:sans-serif;font-size:15px;line-height:1.4;max-width:44em\">\n",
        safe(&view.subject)
    );
    for line in &view.intro {
        html.push_str(&format!("<p style=\"overflow-wrap:anywhere\">{}</p>\n", value(line)));
    }
    for item in &view.items {
        append(&mut html, item);
    }
    let small = "font-size:12px;opacity:0.7;overflow-wrap:anywhere";
    html.push_str(&format!(
        "<hr>\n<p style=\"{small}\">{}</p>\n</body>\n</html>\n",
        value(&view.footer)
    ));
    html
}

fn append(html: &mut String, item: &Item) {
    html.push_str(&format!(
        "<h2 style=\"font-size:17px;overflow-wrap:anywhere\">{}</h2>\n<table>\n",
        value(&item.title)
    ));
    let what = ("what", item.words.clone());
    for (name, text) in item.facts.iter().chain((!what.1.is_empty()).then_some(&what)) {
        html.push_str(&format!(
            "<tr><th scope=\"row\" style=\"text-align:left;font-weight:normal;opacity:0.7;{CELL}\">\
             {name}</th><td style=\"{CELL}\">{}</td></tr>\n",
            value(text)
        ));
    }
    html.push_str("</table>\n");
    for line in &item.more {
        html.push_str(&format!("<p style=\"overflow-wrap:anywhere\">{}</p>\n", value(line)));
    }
    if let Some(advice) = item.advice {
        html.push_str(&format!("<p><b>What to do next:</b> {}</p>\n", safe(advice)));
    }
    if item.commands.is_empty() {
        return;
    }
    let commands: Vec<_> = item.commands.iter().map(|command| safe(command)).collect();
    html.push_str(&format!(
        "<p><b>To look further:</b></p>\n\
         <pre style=\"white-space:pre-wrap;overflow-wrap:anywhere\">{}</pre>\n",
        commands.join("\n")
    ));
}

/// A value in any script, isolated from its surroundings.
fn value(text: &str) -> String {
    format!("<bdi>{}</bdi>", safe(text))
}

fn safe(text: &str) -> String {
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
