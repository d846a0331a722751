//! `POST /webhook`: each call, in a delivery that needs it.

use super::catalogue::GROUPS;
use super::{Cell, Row, calls};

/// GitHub did not answer, or not as it should: delivering again helps.
const DOWN: Cell = Cell::new(503, "unavailable");
const NOT_READABLE: Cell = Cell::new(502, "upstream_error");
/// A failure would only make GitHub send more.
const LIMITED: Cell = Cell::new(200, "rate_limited");
/// There is a check run, and it says so.
const FAILS: Cell = Cell::new(200, "failure");
const SUCCEEDS: Cell = Cell::new(200, "success");
const NOTHING_THERE: Cell = Cell::new(200, "unaffected");

/// Faults that mean the same for every call that the answer needs.
#[rustfmt::skip]
const NEEDED: [Cell; GROUPS] = [
    DOWN, NOT_READABLE, DOWN,         LIMITED,
    DOWN, DOWN,         DOWN,         DOWN,
    DOWN, DOWN,         NOT_READABLE, NOT_READABLE,
];

/// No answer, broken off, 5xx, limited; 401, 403, 404, 3xx; 422, other, too large, not readable.
#[rustfmt::skip]
pub(super) const ROWS: [Row; 12] = [
    Row { call: "token for the check", request: calls::token_for_checks, story: "push", ..NEEDS },
    // If a comparison is impossible, everything is validated.
    Row { call: "comparison", request: calls::comparison, story: "many commits", cells: [
            DOWN, NOT_READABLE, DOWN,     LIMITED,
            DOWN, DOWN,         SUCCEEDS, DOWN,
            DOWN, DOWN,         SUCCEEDS, NOT_READABLE,
        ], ..NEEDS },
    Row { call: "files of a pull request", request: calls::pull_request_files, story: "pull request",
        except: &[("an array", NOTHING_THERE)], ..NEEDS },
    Row { call: "folder", request: calls::directory, story: "check suite", cells: [
            DOWN, NOT_READABLE, DOWN,          LIMITED,
            DOWN, DOWN,         NOTHING_THERE, DOWN,
            DOWN, DOWN,         NOT_READABLE,  NOT_READABLE,
        ], except: &[("an array", NOTHING_THERE)], ..NEEDS },
    Row { call: "file at the commit", request: calls::file_at_head, story: "push", cells: [
            DOWN, NOT_READABLE, DOWN,  LIMITED,
            DOWN, FAILS,        FAILS, FAILS,
            DOWN, DOWN,         FAILS, NOT_READABLE,
        ], except: &[("an array", FAILS)], ..NEEDS },
    // The effect of a change is worth reporting, but a failure to find it does not fail the check.
    Row { call: "file before the change", request: calls::file_at_base, story: "pull request",
        cells: [SUCCEEDS; GROUPS], ..NEEDS },
    Row { call: "installation's permissions", request: calls::installation_of_repository, story: "push of more",
        cells: [SUCCEEDS; GROUPS], ..NEEDS },
    Row { call: "look-up of check runs", request: calls::check_runs, story: "push", ..NEEDS },
    Row { call: "new check run", request: calls::new_check_run, story: "push", ..NEEDS },
    Row { call: "change of a check run", request: calls::changed_check_run, story: "second push", ..NEEDS },
    Row { call: "second look-up of check runs", request: calls::check_runs, skip: 1, story: "push", ..NEEDS },
    Row { call: "third look-up of check runs (after the answer)", request: calls::check_runs, skip: 2, story: "push",
        cells: [SUCCEEDS; GROUPS], ..NEEDS },
];

/// After the answer, which it does not change.
pub(super) const REVOCATION: Row = Row {
    call: "revocation of the token (after the answer)",
    request: calls::revocation,
    story: "push",
    cells: [SUCCEEDS; GROUPS],
    ..NEEDS
};

const NEEDS: Row = Row {
    call: "",
    request: calls::mint,
    skip: 0,
    story: "",
    fact: "",
    pause: "5",
    cells: NEEDED,
    except: &[],
};
