//! `POST /sts/revoke`: one call, and all its possible faults.

use http::Method;

use super::{Cell, Row, calls, is};
use crate::support::fault::Fault;
use crate::support::platform::KvFault;
use crate::support::{Answer, World};

const DOWN: Cell = Cell::new(503, "unavailable");
const LIMITED: Cell = Cell::new(429, "rate_limited");
/// A token that no longer works counts as revoked.
const DEAD: Cell = Cell::new(204, "done");

/// No answer, broken off, 5xx, limited; 401, 403, 404, 3xx; 422, other, too large, not readable.
#[rustfmt::skip]
pub(super) const ROWS: [Row; 1] = [Row {
    call: "revocation",
    request: calls::revocation,
    skip: 0,
    story: "ghs_0123456789abcdef",
    fact: "",
    pause: "5",
    cells: [
        DOWN, DOWN, DOWN, LIMITED,
        DEAD, DOWN, DEAD, DOWN,
        DOWN, DOWN, DOWN, DOWN,
    ],
    except: &[],
}];

fn revoke(world: &World, credential: &str) -> Answer {
    world.call(Method::POST, "/sts/revoke", &[("authorization", &format!("Bearer {credential}"))], "")
}

#[test]
fn every_fault_of_a_revocation_has_its_answer() {
    for row in &ROWS {
        // GitHub's answer is a status without a body, so no members can be missing.
        for (name, fault, cell) in row.each().filter(|(_, fault, _)| !matches!(fault, Fault::Altered(_))) {
            let what = format!("{}: {name}: {fault:?}", row.call);
            let world = World::new();
            let token = world.exchange().granted().to_owned();
            row.fails(&world, &fault);
            let made = row.made(&world);
            let answer = revoke(&world, &token);
            is(&answer, cell, row.pause, &fault, &what);
            assert_eq!(answer.sent, ["DELETE api.github.com/installation/token"], "{what}: tried once");
            assert_eq!(row.made(&world), made + 1, "{what}: and not again after the answer");
            let outcome = if cell.status == 204 { "revoked" } else { cell.said };
            assert_eq!(world.event()["outcome"], outcome, "{what}");

            // Whatever happened, revoking again succeeds and revokes the token.
            world.network.heal();
            assert_eq!(revoke(&world, &token).status.as_u16(), 204, "{what}");
            assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked), "{what}");
        }
    }
}

#[test]
fn a_revocation_does_not_need_kv() {
    for fault in [KvFault::Reads, KvFault::Writes, KvFault::Hangs] {
        let world = World::new();
        world.kv.fault.set(Some(fault));
        let answer = revoke(&world, "ghs_0123456789abcdef");
        assert_eq!((answer.status.as_u16(), answer.took.as_secs()), (204, 0));
        assert_eq!((world.kv.reads.get(), world.kv.writes.get()), (0, 0));
    }
}

#[test]
fn a_status_without_a_body_is_taken_as_it_is() {
    for fault in [Fault::OtherType, Fault::AtTheCap, Fault::Late] {
        let world = World::new();
        let token = world.exchange().granted().to_owned();
        world.network.fail("DELETE", fault);
        assert_eq!(revoke(&world, &token).status.as_u16(), 204);
    }
}
