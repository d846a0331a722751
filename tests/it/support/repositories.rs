//! What GitHub knows about commits: trees, comparisons, pull requests, check runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::github::blob_sha;

/// A commit's id with this prefix.
pub(crate) fn sha(start: &str) -> String {
    format!("{start:0<40}")
}

#[derive(Default)]
pub(crate) struct Repositories {
    /// By repository and commit: what is at each path.
    trees: RefCell<BTreeMap<(String, String), BTreeMap<String, Value>>>,
    /// By repository, before and after, if it differs from the trees.
    comparisons: RefCell<BTreeMap<(String, String, String), Vec<Value>>>,
    pull_requests: RefCell<BTreeMap<(String, u64), Vec<Value>>>,
    /// Whatever was sent, and `annotations` as GitHub adds them up.
    pub(crate) check_runs: RefCell<Vec<Value>>,
    /// What `app` is in a new run.
    pub(crate) app: RefCell<Value>,
    /// GitHub refuses a summary or text of more bytes; 65,535 where this is zero.
    pub(crate) takes_bytes: Cell<usize>,
    /// What every run was, in the order of writing: its status, or its conclusion.
    pub(crate) states: RefCell<Vec<String>>,
    /// The next look-ups, this many, do not see check runs created in this second: simultaneous deliveries.
    pub(crate) blind: Cell<u32>,
}

type Answer = (u16, Value);

fn not_found() -> Answer {
    (404, json!({ "message": "Not Found" }))
}

pub(crate) fn file(path: &str, text: &[u8]) -> Value {
    let id = blob_sha(&String::from_utf8_lossy(text));
    json!({ "type": "file", "encoding": "base64", "path": path, "sha": id, "content": STANDARD.encode(text) })
}

impl Repositories {
    /// A commit of `acme/app` or another repository, and all its files.
    pub(crate) fn tree(&self, repository: &str, commit: &str, files: &[(&str, &str)]) {
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, file(path, text.as_bytes()))).collect();
        self.tree_of(repository, commit, files);
    }

    pub(crate) fn tree_of(&self, repository: &str, commit: &str, files: Vec<(&str, Value)>) {
        let files = files.into_iter().map(|(path, content)| (path.to_owned(), content)).collect();
        self.trees.borrow_mut().insert((repository.to_lowercase(), sha(commit)), files);
    }

    pub(crate) fn compared(&self, repository: &str, before: &str, after: &str, files: Vec<Value>) {
        let key = (repository.to_lowercase(), sha(before), sha(after));
        self.comparisons.borrow_mut().insert(key, files);
    }

    pub(crate) fn pull_request(&self, repository: &str, number: u64, files: Vec<Value>) {
        self.pull_requests.borrow_mut().insert((repository.to_lowercase(), number), files);
    }

    /// What a request for a repository gets.
    pub(crate) fn answer(
        &self,
        method: &str,
        repository: &str,
        path: &[&str],
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> Answer {
        let repository = repository.to_lowercase();
        match (method, path) {
            ("GET", ["contents", path @ ..]) => {
                self.contents(repository, &path.join("/"), query["ref"].clone())
            }
            ("GET", ["compare", range]) => {
                let (before, after) = range.split_once("...").expect("two commits");
                self.compare(repository, before, after)
            }
            ("GET", ["pulls", number, "files"]) => {
                self.pull_request_files(repository, number.parse().unwrap(), query)
            }
            ("GET", ["commits", head, "check-runs"]) => self.runs_of(&repository, head, query),
            ("POST", ["check-runs"]) => self.create(repository, body),
            ("PATCH", ["check-runs", id]) => self.update(&repository, id.parse().unwrap(), body),
            _ => not_found(),
        }
    }

    fn contents(&self, repository: String, path: &str, commit: String) -> Answer {
        let trees = self.trees.borrow();
        let Some(tree) = trees.get(&(repository, commit)) else { return not_found() };
        if let Some(content) = tree.get(path) {
            return (200, content.clone());
        }
        let inside: Vec<Value> = tree
            .iter()
            .filter_map(|(file, content)| {
                let name = file.strip_prefix(path)?.strip_prefix('/')?;
                (!name.contains('/')).then(|| json!({ "name": name, "path": file, "type": content["type"] }))
            })
            .collect();
        if inside.is_empty() { not_found() } else { (200, Value::Array(inside)) }
    }

    fn compare(&self, repository: String, before: &str, after: &str) -> Answer {
        let key = (repository.clone(), before.to_owned(), after.to_owned());
        if let Some(files) = self.comparisons.borrow().get(&key) {
            return (200, json!({ "status": "ahead", "files": files }));
        }
        let trees = self.trees.borrow();
        let tree = |commit: &str| trees.get(&(repository.clone(), commit.to_owned()));
        let (Some(before), Some(after)) = (tree(before), tree(after)) else { return not_found() };
        let mut files = Vec::new();
        for (path, content) in after {
            match before.get(path) {
                None => files.push(json!({ "filename": path, "status": "added" })),
                Some(was) if was != content => files.push(json!({ "filename": path, "status": "modified" })),
                Some(_) => {}
            }
        }
        let gone = before.keys().filter(|path| !after.contains_key(*path));
        files.extend(gone.map(|path| json!({ "filename": path, "status": "removed" })));
        (200, json!({ "status": "ahead", "files": files }))
    }

    fn pull_request_files(
        &self,
        repository: String,
        number: u64,
        query: &BTreeMap<String, String>,
    ) -> Answer {
        let pull_requests = self.pull_requests.borrow();
        let Some(files) = pull_requests.get(&(repository, number)) else { return not_found() };
        let (size, page): (usize, usize) =
            (query["per_page"].parse().unwrap(), query["page"].parse().unwrap());
        // GitHub lists no more than this.
        let listed = files.iter().take(3000).skip((page - 1) * size).take(size);
        (200, listed.cloned().collect())
    }

    fn runs_of(&self, repository: &str, head: &str, query: &BTreeMap<String, String>) -> Answer {
        assert_eq!(query["filter"], "all", "`latest` hides doubles");
        let name = query["check_name"].replace("%20", " ");
        if self.blind.get() > 0 {
            self.blind.set(self.blind.get() - 1);
            return (200, json!({ "total_count": 0, "check_runs": [] }));
        }
        let runs: Vec<Value> = self
            .check_runs
            .borrow()
            .iter()
            .filter(|run| run["repository"] == repository && run["head_sha"] == head && run["name"] == name)
            .filter(|run| {
                let app = run["app"]["id"].as_u64();
                app.is_none() || query.get("app_id").is_none_or(|id| id.parse().ok() == app)
            })
            .map(|run| {
                let mut shown = run.clone();
                let output = shown["output"].as_object_mut().unwrap();
                let annotations = output.remove("annotations").unwrap();
                output.insert("annotations_count".to_owned(), json!(annotations.as_array().unwrap().len()));
                shown
            })
            .collect();
        let size: usize = query["per_page"].parse().unwrap();
        let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
        let listed: Vec<&Value> = runs.iter().skip((page - 1) * size).take(size).collect();
        (200, json!({ "total_count": runs.len(), "check_runs": listed }))
    }

    /// GitHub counts bytes.
    fn refuses(&self, body: &Value) -> bool {
        let most = Some(self.takes_bytes.get()).filter(|most| *most > 0).unwrap_or(65_535);
        ["summary", "text"].iter().any(|member| body["output"][member].as_str().unwrap().len() > most)
    }

    fn create(&self, repository: String, body: &Value) -> Answer {
        check_request(body);
        if self.refuses(body) {
            return (422, json!({ "message": "Invalid request. Only 65535 characters are allowed" }));
        }
        self.states.borrow_mut().push(state(body));
        assert!(body["head_sha"].is_string());
        let mut run = body.clone();
        let mut runs = self.check_runs.borrow_mut();
        run["id"] = json!(runs.len() + 1);
        run["repository"] = json!(repository);
        run["app"] = self.app.borrow().clone();
        runs.push(run.clone());
        (201, run)
    }

    fn update(&self, repository: &str, id: u64, body: &Value) -> Answer {
        check_request(body);
        if self.refuses(body) {
            return (422, json!({ "message": "Invalid request. Only 65535 characters are allowed" }));
        }
        self.states.borrow_mut().push(state(body));
        let mut runs = self.check_runs.borrow_mut();
        let found = runs.iter_mut().find(|run| run["id"] == id && run["repository"] == repository);
        let Some(run) = found else { return not_found() };
        let mut annotations = run["output"]["annotations"].as_array().unwrap().clone();
        annotations.extend(body["output"]["annotations"].as_array().unwrap().iter().cloned());
        for (name, value) in body.as_object().unwrap() {
            run[name] = value.clone();
        }
        run["output"]["annotations"] = Value::Array(annotations);
        (200, run.clone())
    }
}

fn state(body: &Value) -> String {
    body["conclusion"].as_str().unwrap_or("in_progress").to_owned()
}

/// GitHub's schema of the request, as far as it can be violated.
fn check_request(body: &Value) {
    let times: &[&str] = match body["status"].as_str() {
        Some("completed") => {
            assert!(matches!(body["conclusion"].as_str(), Some("success" | "failure" | "skipped")));
            &["started_at", "completed_at"]
        }
        Some("in_progress") => {
            assert!(body.get("conclusion").is_none() && body.get("completed_at").is_none());
            &["started_at"]
        }
        other => panic!("{other:?}"),
    };
    for time in times {
        let time = body[time].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    }
    let output = &body["output"];
    assert!(output["title"].as_str().unwrap().chars().count() <= 255);
    assert!(!output["summary"].as_str().unwrap().is_empty());
    let annotations = output["annotations"].as_array().unwrap();
    assert!(annotations.len() <= 50);
    for annotation in annotations {
        for member in ["start_line", "end_line", "start_column", "end_column"] {
            assert!(annotation[member].as_u64().unwrap() >= 1);
        }
        assert!(matches!(annotation["annotation_level"].as_str(), Some("failure" | "warning")));
        assert!(annotation["title"].as_str().unwrap().chars().count() <= 255);
        let message = annotation["message"].as_str().unwrap();
        assert!(!message.is_empty() && message.len() < 64 * 1024 && !message.contains('\n'));
    }
}
