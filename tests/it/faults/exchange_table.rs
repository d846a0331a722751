//! `GET` and `POST /sts/exchange`: each call before the answer, in the order in which they are made.

use super::catalogue::GROUPS;
use super::{Cell, Row, calls};

const GRANTED: Cell = Cell::new(200, "done");
/// The issuer did not answer; or GitHub did not, or not as it should.
const DOWN: Cell = Cell::new(503, "unavailable");
const LIMITED: Cell = Cell::new(429, "rate_limited");
const NO_KEYS: Cell = Cell::new(401, "invalid_token").remembered();
const REFUSED: Cell = Cell::new(403, "permission_denied");
const NOT_INSTALLED: Cell = Cell::new(404, "installation_not_found").remembered();
const NO_POLICY: Cell = Cell::new(404, "policy_not_found");
const NOT_READABLE: Cell = Cell::new(502, "upstream_error");
/// The list of trusted issuers is broken or unreadable, which is a fact like others.
const NO_LIST: Cell = GRANTED.remembered();
const BROKEN_LIST: Cell = REFUSED.remembered().stale();
/// GitHub refuses the App the file, twice.
const REFUSED_LIST: Cell = REFUSED.remembered().stale();

/// An issuer's documents: no answer, or not now, is 503; any other answer is 401; both are cached.
const OF_AN_ISSUER: [Cell; GROUPS] = {
    const SILENT: Cell = DOWN.remembered().stale();
    [SILENT, SILENT, SILENT, SILENT, NO_KEYS, NO_KEYS, NO_KEYS, NO_KEYS, NO_KEYS, NO_KEYS, NO_KEYS, NO_KEYS]
};

/// Only GitHub uses this header.
const NO_QUOTA: &[(&str, Cell)] = &[("403 with no quota left", NO_KEYS)];

const OF_AN_INSTALLATION: [Cell; GROUPS] =
    [DOWN, DOWN, DOWN, LIMITED, DOWN, REFUSED, NOT_INSTALLED, NOT_INSTALLED, DOWN, DOWN, DOWN, DOWN];

/// While GitHub has a temporary failure, the known list still counts.
const LAST: Cell = DOWN.stale();
const LAST_LIMITED: Cell = LIMITED.stale();

/// Steps 6 to 12. No answer, broken off, 5xx, limited; 401, 403, 404, 3xx; 422, other, too large, not readable.
#[rustfmt::skip]
pub(super) const ROWS: [Row; 11] = [
    Row { call: "issuer: discovery", request: calls::discovery, story: "acme/app", fact: "issuer-keys", pause: "60",
        cells: OF_AN_ISSUER, except: NO_QUOTA, ..BLANK },
    Row { call: "issuer: key set", request: calls::key_set, story: "acme/app", fact: "issuer-keys", pause: "60",
        cells: OF_AN_ISSUER, except: NO_QUOTA, ..BLANK },
    Row { call: "installation of a repository", request: calls::installation_of_repository, story: "acme/app",
        fact: "installation", cells: OF_AN_INSTALLATION, ..BLANK },
    // An owner that is not an organization may be a user.
    Row { call: "installation of an organization", request: calls::installation_of_organization, story: "acme",
        fact: "installation", cells: OF_AN_INSTALLATION, ..BLANK },
    Row { call: "installation of a user", request: calls::installation_of_user, story: "user-bob",
        fact: "installation", cells: OF_AN_INSTALLATION, ..BLANK },
    Row { call: "read token for the list of issuers", request: calls::token_for_issuers, story: "acme/app",
        fact: "trusted-issuers", cells: [
            LAST,    LAST,  LAST,  LAST_LIMITED,
            DOWN,    LAST,  DOWN,  DOWN,
            NO_LIST, DOWN,  DOWN,  DOWN,
        ], ..BLANK },
    Row { call: "list of issuers", request: calls::issuers, story: "acme/app", fact: "trusted-issuers", cells: [
            LAST,    LAST,          LAST,         LAST_LIMITED,
            DOWN,    REFUSED_LIST,  NO_LIST,      DOWN,
            DOWN,    DOWN,          BROKEN_LIST,  DOWN,
        ], except: &[("an array", BROKEN_LIST)], ..BLANK },
    Row { call: "policy repository, if the list is absent", request: calls::policy_repository, story: "user-bob",
        fact: "trusted-issuers", cells: [
            LAST,    LAST,  LAST,  LAST_LIMITED,
            LAST,    LAST,  LAST,  LAST,
            DOWN,    DOWN,  DOWN,  DOWN,
        ], ..BLANK },
    Row { call: "read token for the policy", request: calls::token_for_policy, story: "acme/app", fact: "policy", cells: [
            DOWN,    DOWN,  LAST,  LAST_LIMITED,
            DOWN,    NO_POLICY.remembered(),  NO_POLICY,  NO_POLICY,
            NO_POLICY.remembered(),  DOWN,  DOWN,  DOWN,
        ], ..BLANK },
    Row { call: "policy", request: calls::policy, story: "acme/app", fact: "policy", cells: [
            DOWN,    DOWN,  LAST,  LAST_LIMITED,
            DOWN,    NO_POLICY.remembered(),  NO_POLICY.remembered(),  NO_POLICY.remembered(),
            DOWN,    DOWN,  NO_POLICY.remembered(),  DOWN,
        ], except: &[("an array", NO_POLICY.remembered())], ..BLANK },
    Row { call: "mint", request: calls::mint, story: "acme/app", cells: [
            DOWN,    NOT_READABLE,  DOWN,  LIMITED,
            DOWN,    REFUSED,  DOWN,  DOWN,
            REFUSED, DOWN,  NOT_READABLE,  NOT_READABLE,
        ], ..BLANK },
];

/// After the answer, which none of these changes.
pub(super) const AFTER: [Row; 2] = [
    Row { call: "revocation of a read token", request: calls::revocation, cells: [GRANTED; GROUPS], ..BLANK },
    Row { call: "event ingress", request: calls::ingress, cells: [GRANTED; GROUPS], ..BLANK },
];

const BLANK: Row = Row {
    call: "",
    request: calls::mint,
    skip: 0,
    story: "acme/app",
    fact: "",
    pause: "5",
    cells: [GRANTED; GROUPS],
    except: &[],
};
