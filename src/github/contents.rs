//! A file on the default branch or at a commit, and a directory at a commit, through the contents API.
//! <https://docs.github.com/en/rest/repos/contents#get-repository-content>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode};

use crate::github::{BaseUrl, Call, CommitSha, Failure};
use crate::json::{FromJson, Unfit, parse_members, read_members};
use crate::names::{Owner, Repository};
use crate::secret::Secret;

/// A policy has at most 64 KiB: 88 KiB of base64 with line ends, and GitHub's links around it.
const MAX_BODY: usize = 128 * 1024;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// A file: its bytes and blob sha.
    Regular {
        /// The git blob's id, lower-case hex.
        sha: String,
        /// The bytes.
        content: Vec<u8>,
    },
    /// A directory, symlink, submodule, or a file too large for the API to show. Never a policy.
    Other,
}

/// `GET /repos/{owner}/{repo}/contents/{path}`, without a `ref`: the default branch. `path` is made of parsed names.
#[must_use]
pub fn read_file(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    path: &str,
    token: &Secret,
) -> Call<File> {
    let path = format!("/repos/{owner}/{repository}/contents/{path}");
    Call::new(base, Method::GET, &path, token, None, MAX_BODY, read)
}

/// A repository's description, most of it links.
const MAX_REPOSITORY_BODY: usize = 64 * 1024;

/// `GET /repos/{owner}/{repo}`: its full name, if the token sees it.
#[must_use]
pub fn see_repository(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    token: &Secret,
) -> Call<String> {
    let path = format!("/repos/{owner}/{repository}");
    Call::new(base, Method::GET, &path, token, None, MAX_REPOSITORY_BODY, read_full_name)
}

octo_sts_verifier::json_members! {
    struct FullName {
        full_name: String => take,
    }
}

fn read_full_name(_: StatusCode, body: &Bytes) -> Result<String, Failure> {
    let repository: Result<FullName, Unfit> = read_members(body, FullName::SHAPE);
    repository.map(|repository| repository.full_name).map_err(|Unfit| Failure::Unreadable)
}

/// [`read_file`] at a commit.
#[must_use]
pub fn read_file_at(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    path: &str,
    commit: &CommitSha,
    token: &Secret,
) -> Call<File> {
    let path = format!("/repos/{owner}/{repository}/contents/{path}?ref={commit}");
    Call::new(base, Method::GET, &path, token, None, MAX_BODY, read)
}

/// A thousand entries of about 1 KB each, most of it links.
const MAX_DIRECTORY_BODY: usize = 4 * 1024 * 1024;

/// GitHub lists no more entries of a directory, and does not say whether there are more.
pub const MAX_DIRECTORY_ENTRIES: usize = 1000;

/// `GET /repos/{owner}/{repo}/contents/{path}` at a commit: the names in a directory. Anything but a directory has
/// none.
#[must_use]
pub fn list_directory_at(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    path: &str,
    commit: &CommitSha,
    token: &Secret,
) -> Call<Vec<String>> {
    let path = format!("/repos/{owner}/{repository}/contents/{path}?ref={commit}");
    Call::new(base, Method::GET, &path, token, None, MAX_DIRECTORY_BODY, read_names)
}

octo_sts_verifier::json_members! {
    struct Named {
        name: String => take,
    }
}

fn read_names(_: StatusCode, body: &Bytes) -> Result<Vec<String>, Failure> {
    let json = parse_members(body, Named::SHAPE).map_err(|_| Failure::Unreadable)?;
    if json.is_object() {
        // Not a directory, whatever its content.
        return Ok(Vec::new());
    }
    let entries = Vec::<Named>::from_json(json).map_err(|_| Failure::Unreadable)?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

octo_sts_verifier::json_members! {
    struct Item {
        r#type: String => take as "type",
        /// Where a symlink points to.
        target: Option<String> => take_optional,
        submodule_git_url: Option<String> => take_optional,
        sha: String => take_or_default,
        encoding: Option<String> => take_optional,
        content: Option<String> => take_optional,
    }
}

impl Item {
    fn is_file(&self) -> bool {
        self.r#type == "file" && self.target.is_none() && self.submodule_git_url.is_none()
    }
}

fn read(_: StatusCode, body: &Bytes) -> Result<File, Failure> {
    let json = parse_members(body, Item::SHAPE).map_err(|_| Failure::Unreadable)?;
    if json.is_array() {
        // An array of anything is a directory.
        return Ok(File::Other);
    }
    let item = Item::from_json(json).map_err(|_| Failure::Unreadable)?;
    if item.is_file() { regular(item) } else { Ok(File::Other) }
}

fn regular(item: Item) -> Result<File, Failure> {
    let (Some(content), Some("base64")) = (item.content, item.encoding.as_deref()) else {
        // Above 1 MB GitHub answers `encoding: none`.
        return Ok(File::Other);
    };
    // The sha goes into a header and a log line.
    let is_sha =
        matches!(item.sha.len(), 40 | 64) && item.sha.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let base64: String = content.split_ascii_whitespace().collect();
    match STANDARD.decode(base64) {
        Ok(content) if is_sha => Ok(File::Regular { sha: item.sha, content }),
        _ => Err(Failure::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "95b966ae1c166bd92f8ae7d1c313e738c731dfc3";

    fn answered(json: &str) -> Result<File, Failure> {
        read(StatusCode::OK, &Bytes::copy_from_slice(json.as_bytes()))
    }

    #[test]
    fn a_file_is_decoded_with_githubs_line_ends() {
        let json = format!(
            r#"{{"type":"file","encoding":"base64","sha":"{SHA}","size":5,"content":"aGVs\nbG8=\n"}}"#
        );
        assert_eq!(answered(&json), Ok(File::Regular { sha: SHA.to_owned(), content: b"hello".to_vec() }));
    }

    #[test]
    fn what_is_no_file_is_no_policy() {
        for json in [
            "[]".to_owned(),
            r#"[{"type":"file","name":"a"}]"#.to_owned(),
            format!(r#"{{"type":"symlink","sha":"{SHA}","target":"x"}}"#),
            format!(r#"{{"type":"submodule","sha":"{SHA}"}}"#),
            format!(r#"{{"type":"file","encoding":"base64","sha":"{SHA}","content":"","target":"../x"}}"#),
            format!(
                r#"{{"type":"file","encoding":"base64","sha":"{SHA}","content":"","submodule_git_url":"x"}}"#
            ),
            format!(r#"{{"type":"file","encoding":"none","sha":"{SHA}","content":""}}"#),
        ] {
            assert_eq!(answered(&json), Ok(File::Other), "{json}");
        }
    }

    #[test]
    fn garbage_is_told_from_absence() {
        for json in [
            String::new(),
            "{}".to_owned(),
            "null".to_owned(),
            format!(r#"{{"type":"file","encoding":"base64","sha":"{SHA}","content":"*"}}"#),
            r#"{"type":"file","encoding":"base64","sha":"x\r\ny","content":""}"#.to_owned(),
        ] {
            assert_eq!(answered(&json), Err(Failure::Unreadable), "{json}");
        }
    }
}
