//! Renders a mail view as HTML.
//!
//! Guarantees that nothing of a view becomes markup, that each value is isolated from the text
//! direction around it, and that nothing is loaded: it has no image, script or style sheet, and no link
//! but that of our own page for acknowledging.

use crate::mail::render::view_model::{MailItem, MailView, Table};
use crate::show::html::escape_html;

/// The document. What its body sets is inherited: words may have thousands of letters.
pub(super) fn html(view: &MailView) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>{}</title>\n</head>\n\
         <body style=\"font-family:sans-serif;font-size:15px;line-height:1.4;max-width:60em;\
         overflow-wrap:anywhere\">\n",
        escape_html(&view.subject)
    );
    for line in &view.intro {
        html.push_str(&format!("<p>{}</p>\n", isolated(line)));
    }
    for item in &view.items {
        push_item(&mut html, item);
    }
    let small = "font-size:12px;opacity:0.7";
    html.push_str(&format!(
        "<hr>\n<p style=\"{small}\">{}</p>\n</body>\n</html>\n",
        isolated(&view.footer)
    ));
    html
}

fn push_item(html: &mut String, item: &MailItem) {
    html.push_str(&format!("<h2 style=\"font-size:17px\">{}</h2>\n", isolated(&item.title)));
    push_facts(html, item);
    push_table(html, &item.table);
    for line in &item.more {
        html.push_str(&format!("<p>{}</p>\n", isolated(line)));
    }
    if let Some(advice) = item.hint {
        html.push_str(&format!("<p><b>What to do next:</b> {}</p>\n", escape_html(advice)));
    }
    if !item.commands.is_empty() {
        let commands: Vec<_> = item.commands.iter().map(|command| escape_html(command)).collect();
        html.push_str(&format!(
            "<p><b>To look further:</b></p>\n\
             <pre style=\"white-space:pre-wrap\">{}</pre>\n",
            commands.join("\n")
        ));
    }
    if let Some(link) = &item.link {
        html.push_str(&format!("<p><a href=\"{}\">Acknowledge</a></p>\n", escape_html(link)));
    }
}

/// The text of a template, as it is.
pub(super) fn preformatted(subject: &str, text: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>{}</title>\n</head>\n<body>\n<pre style=\"white-space:pre-wrap\">{}</pre>\n</body>\n\
         </html>\n",
        escape_html(subject),
        escape_html(text)
    )
}

fn push_facts(html: &mut String, item: &MailItem) {
    if item.facts.is_empty() && item.text.is_empty() {
        return;
    }
    html.push_str("<table cellpadding=\"3\">\n");
    let what = ("what", item.text.clone());
    for (name, text) in item.facts.iter().chain((!what.1.is_empty()).then_some(&what)) {
        html.push_str(&format!(
            "<tr valign=\"top\"><td style=\"opacity:0.7\">{name}</td><td>{}</td></tr>\n",
            isolated(text)
        ));
    }
    html.push_str("</table>\n");
}

/// A table of one line each. Its cells have no style of their own, which would make it large.
fn push_table(html: &mut String, table: &Table) {
    if table.rows.is_empty() {
        return;
    }
    html.push_str("<table cellpadding=\"3\">\n<tr align=\"left\">");
    for title in &table.columns {
        html.push_str(&format!("<th>{title}</th>"));
    }
    html.push_str("</tr>\n");
    for row in &table.rows {
        html.push_str("<tr>");
        for cell in row {
            html.push_str(&format!("<td>{}</td>", isolated(cell)));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
}

/// A value in any script, isolated from its surroundings.
fn isolated(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape_html(text))
}
