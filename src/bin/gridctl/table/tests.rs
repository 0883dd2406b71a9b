//! Tests tables at common widths of terminals.

use super::*;

const COLUMNS: &[Column] = &[
    Column { title: "number", width_min: 6, is_right_aligned: true, drop_priority: 0 },
    Column { title: "appliance", width_min: 9, is_right_aligned: false, drop_priority: 0 },
    Column { title: "since", width_min: 5, is_right_aligned: false, drop_priority: 1 },
    Column { title: "class", width_min: 5, is_right_aligned: false, drop_priority: 2 },
    Column { title: "what", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

const NAME: &str = "shop:main.web-with-a-long-name1";
const SENTENCE: &str = "maintenance 34 % \"checking database\", next report due in 57 s, and so on";

fn shown(screen: Option<usize>, colour: bool, rows: &[[&str; 5]]) -> String {
    let mut out = Vec::new();
    let rows: Vec<_> = rows
        .iter()
        .map(|[number, name, since, class, what]| {
            let name = TableCell::styled(name, CellStyle::Red);
            vec![
                TableCell::new(number),
                name,
                TableCell::new(since),
                TableCell::new(class),
                TableCell::new(what),
            ]
        })
        .collect();
    TextTable::new(COLUMNS, "UTC", screen, colour).write_rows(&mut out, &rows).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn columns_line_up_whatever_stands_in_them() {
    let rows = [["1", "db", "x", "web", "a\nb"], ["1234567", "数据库-main", "", "", ""]];
    assert_eq!(
        shown(None, false, &rows),
        " number  appliance    since  class  what\n      1  db           x      web    a\\nb\n\
         1234567  数据库-main\n"
    );
}

#[test]
fn keys_are_whole_at_every_width_and_the_sentence_too() {
    let row = ["12", NAME, "2026-11-20 14:28:49", "frontend", SENTENCE];
    for screen in [40, 60, 80, 100, 132, 200] {
        let table = shown(Some(screen), false, &[row]);
        assert!(table.contains(NAME), "{screen}: {table}");
        for line in table.lines() {
            assert!(line.width() <= screen, "{screen}: {line}");
        }
        let words: Vec<_> = table.split_whitespace().collect();
        for word in SENTENCE.split(' ') {
            assert!(words.contains(&word), "{screen}: {word} in {table}");
        }
        // What is shown of a column is shown whole.
        for (title, value) in [("class", "frontend"), ("since", "14:28:49")] {
            assert_eq!(table.contains(title), table.contains(value), "{screen}: {table}");
        }
    }
    assert_eq!(shown(None, false, &[row]).lines().count(), 2, "a pipe has one line a row");
    assert!(!shown(Some(80), false, &[row]).contains("class"));
    assert!(shown(Some(132), false, &[row]).contains("class"));
}

#[test]
fn a_name_wider_than_the_terminal_is_whole_and_the_sentence_stands_below() {
    let name = "x".repeat(128);
    let table = shown(Some(80), false, &[["1", &name, "", "", "failed: no disk"]]);
    assert!(table.contains(&name) && table.ends_with("\n    failed: no disk\n"), "{table}");
}

#[test]
fn columns_that_went_do_not_come_back_in_the_next_rows() {
    let mut table = TextTable::new(COLUMNS, "UTC", Some(60), false);
    let row = |name: &str| {
        ["1", name, "2026-11-20", "database", SENTENCE]
            .iter()
            .map(|it| TableCell::new(it))
            .collect()
    };
    let mut out = Vec::new();
    table.write_rows(&mut out, &[row(NAME)]).unwrap();
    table.write_rows(&mut out, &[row("db1")]).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("number").count(), 1, "{text}");
    assert!(!text.contains("database  "), "{text}");
}

#[test]
fn titles_can_be_left_out() {
    let mut out = Vec::new();
    let row: Vec<TableCell> =
        ["1", "db", "", "", "x"].iter().map(|it| TableCell::new(it)).collect();
    TextTable::new(COLUMNS, "UTC", None, false)
        .without_titles()
        .write_rows(&mut out, &[row])
        .unwrap();
    assert!(String::from_utf8(out).unwrap().starts_with("     1  db"));
}

#[test]
fn colour_surrounds_the_text_only() {
    let row = ["1", "db", "", "", "x"];
    assert!(shown(Some(60), true, &[row]).contains("\x1b[31mdb\x1b[0m         "));
    assert!(!shown(Some(60), false, &[row]).contains('\x1b'));
}
