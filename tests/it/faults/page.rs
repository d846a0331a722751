//! The tables for `docs/reliability.md`.

use std::path::Path;

use super::catalogue::{self, Group};
use super::{Cell, Row, exchange_table, kv, revoke, webhook_table};

const PAGE: &str = "docs/reliability.md";
const COMMAND: &str = "UPDATE_REFERENCE=1 cargo test --test it faults";

impl Cell {
    fn shown(self) -> String {
        let said = match (self.status, self.said) {
            (200, "done") => "",
            (200, said) => said,
            _ => "",
        };
        let marks = [(self.remembered, "R"), (self.stale, "S")];
        let marks = marks.iter().filter(|(is_on, _)| *is_on).map(|(_, mark)| *mark).collect::<String>();
        format!("{} {said} {marks}", self.status).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}

fn table<'a>(rows: impl IntoIterator<Item = &'a Row>) -> String {
    let groups = catalogue::all();
    let headings = groups.iter().map(|group| group.heading.to_owned());
    let mut text = line(std::iter::once("call".to_owned()).chain(headings));
    text.push_str(&line(vec!["---".to_owned(); groups.len() + 1]));
    let mut notes = String::new();
    for row in rows {
        let cells = row.cells.iter().map(|cell| cell.shown());
        text.push_str(&line(std::iter::once(row.call.to_owned()).chain(cells)));
        for (fault, cell) in row.except {
            notes.push_str(&format!("* {}, {fault}: {}\n", row.call, cell.shown()));
        }
    }
    if notes.is_empty() { text } else { format!("{text}\nExceptions:\n\n{notes}") }
}

/// What each column stands for.
fn groups() -> String {
    let mut text = line(["column", "faults"].map(str::to_owned)) + &line(vec!["---".to_owned(); 2]);
    for Group { heading, told, .. } in catalogue::all() {
        let told = if told.is_empty() { "that status" } else { told };
        text.push_str(&line([heading.to_owned(), told.to_owned()]));
    }
    text
}

fn of_kv() -> String {
    let headings = [
        "KV",
        "exchange in a new isolate",
        "push of one policy",
        "forced push",
        "an installation's event",
        "in the log",
    ];
    let mut text = line(headings.map(str::to_owned)) + &line(vec!["---".to_owned(); headings.len()]);
    for row in &kv::ROWS {
        let (requests, seconds) = row.exchange;
        let many = if requests == 1 { "request" } else { "requests" };
        let later = if seconds == 0 { String::new() } else { format!(", {seconds} s later") };
        let deliveries =
            row.deliveries.map(|said| if said == "unavailable" { "503" } else { "200" }.to_owned());
        let exchange = [row.what.to_owned(), format!("200, {requests} {many}{later}")];
        let told = [format!("`{}`", row.told)];
        text.push_str(&line(exchange.into_iter().chain(deliveries).chain(told)));
    }
    text
}

fn generated() -> [(&'static str, String); 5] {
    [
        ("columns", groups()),
        ("exchange", table(exchange_table::ROWS.iter().chain(&exchange_table::AFTER))),
        ("revocation", table(&revoke::ROWS)),
        ("delivery", table(webhook_table::ROWS.iter().chain([&webhook_table::REVOCATION]))),
        ("kv", of_kv()),
    ]
}

#[test]
fn the_page_shows_the_tables_that_are_tested() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let mut page = std::fs::read_to_string(&path).unwrap();
    let mut fresh = true;
    for (name, table) in generated() {
        let begin = format!("<!-- {name}: begin ({COMMAND}) -->\n");
        let end = format!("<!-- {name}: end -->\n");
        let (before, rest) = page.split_once(&begin).unwrap();
        let (there, after) = rest.split_once(&end).unwrap();
        fresh &= there == table;
        page = format!("{before}{begin}{table}{end}{after}");
    }
    if !fresh && std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &page).unwrap();
        fresh = true;
    }
    assert!(fresh, "{PAGE} is old: {COMMAND}");
}

/// Every fault needs an answer, with a status of the protocol.
#[test]
fn every_cell_is_an_answer_that_the_protocol_knows() {
    let rows = exchange_table::ROWS.iter().chain(&revoke::ROWS).chain(&webhook_table::ROWS);
    for row in rows {
        for (name, _, cell) in row.each() {
            let known = matches!(cell.status, 200 | 204 | 401 | 403 | 404 | 429 | 502 | 503);
            assert!(known && !cell.said.is_empty(), "{}: {name}", row.call);
        }
        for (fault, _) in row.except {
            let faults = catalogue::all().into_iter().flat_map(|group| group.faults);
            assert!(faults.into_iter().any(|(name, _)| name == *fault), "{}: {fault}", row.call);
        }
    }
}
