//! The world is hostile.

mod time;

use crate::support::{Answer, World};

/// Every token that was minted is in the answer or revoked.
#[track_caller]
fn nothing_else_lives(world: &World, answer: &Answer, what: &str) {
    let delivered = answer.body["token"].as_str();
    for minted in world.github().ledger.borrow().iter().filter(|minted| !minted.revoked) {
        assert_eq!(Some(minted.token.as_str()), delivered, "{what}: a token lives on");
    }
}
