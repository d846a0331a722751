//! What the library crates promise to others, one line an item, held to `crates/*/public-api.txt`: a change of it is seen
//! in review, and decides the next version. `UPDATE_PUBLIC_API=1 cargo test --test public_api` writes the lists. CI
//! compares with the newest release besides (`cargo semver-checks`).
//!
//! A list is made from the sources: of what is `pub` there nothing is out of reach (`unreachable_pub` is on). Items that a
//! macro makes are listed by the macro's lines.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The public items of a file without its tests: each from `pub` to what begins its body, on one line, behind the `impl`,
/// `trait` or type that it is in.
fn items(text: &str) -> Vec<String> {
    let (mut items, mut within, mut begun) = (Vec::new(), String::new(), None::<String>);
    for line in text.lines().take_while(|line| *line != "#[cfg(test)]") {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.starts_with("//")
            || trimmed.starts_with("#[")
            || trimmed.starts_with("#![")
            || trimmed.is_empty()
        {
            continue;
        }
        if indent == 0 && begun.is_none() {
            let opens =
                ["impl", "pub trait", "pub enum", "pub struct"].iter().any(|it| trimmed.starts_with(it));
            within = if opens && trimmed.ends_with('{') {
                trimmed.trim_end_matches(" {").to_owned()
            } else {
                String::new()
            };
        }
        let in_public = within.starts_with("pub trait") || within.starts_with("pub enum");
        let is_item = trimmed.starts_with("pub ")
            || (indent == 4 && in_public && trimmed.starts_with(|first: char| first.is_alphabetic()))
            || (indent == 0 && trimmed.starts_with("impl ") && trimmed.contains(" for "));
        let mut item = match begun.take() {
            Some(begun) => format!("{begun} {trimmed}"),
            None if is_item => trimmed.to_owned(),
            None => continue,
        };
        let is_use = item.starts_with("pub use");
        let end = if is_use { item.find(';') } else { item.find(" {").or_else(|| item.find(';')) };
        match end.or_else(|| is_field(&item).then(|| item.len() - 1)) {
            Some(end) => item.truncate(end),
            None => {
                begun = Some(item);
                continue;
            }
        }
        let item = item.replace("( ", "(").replace(", )", ")");
        items.push(if indent == 0 || within.is_empty() { item } else { format!("{within}: {item}") });
    }
    items
}

/// A field or a variant, and not the first lines of a signature.
fn is_field(item: &str) -> bool {
    item.ends_with(',') && item.matches('(').count() == item.matches(')').count()
}

#[test]
fn the_public_items_are_those_of_the_lists() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    for name in ["verifier", "policy", "client"] {
        let source = crates.join(name).join("src");
        let mut files = Vec::new();
        sources(&source, &mut files);
        files.sort();
        let mut lines = vec![];
        for file in files {
            // Of the folders and files the first alone: what is behind them is how a room is furnished.
            let place = file.strip_prefix(&source).unwrap().iter().next().unwrap().to_str().unwrap();
            let place = place.trim_end_matches(".rs");
            let items = items(&fs::read_to_string(&file).unwrap());
            lines.extend(items.into_iter().map(|item| format!("{place}: {item}")));
        }
        lines.sort();
        let list = lines.join("\n") + "\n";
        let path = crates.join(name).join("public-api.txt");
        if std::env::var_os("UPDATE_PUBLIC_API").is_some() {
            fs::write(&path, &list).unwrap();
        }
        let recorded = fs::read_to_string(&path).unwrap_or_default();
        let only = |of: &str, other: &str| -> Vec<String> {
            of.lines().filter(|line| !other.lines().any(|it| it == *line)).map(str::to_owned).collect()
        };
        assert!(
            recorded == list,
            "the public items of crates/{name} are others than its public-api.txt says; if that is meant, run \
             UPDATE_PUBLIC_API=1 cargo test --test public_api\ngone: {:#?}\nnew: {:#?}",
            only(&recorded, &list),
            only(&list, &recorded),
        );
    }
}
