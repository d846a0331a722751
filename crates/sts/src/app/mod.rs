//! `sts app`: the GitHub App that the service speaks for.
//!
//! | module | owns |
//! | --- | --- |
//! | `create` | the manifest, and the way of an App's secrets |
//! | `page` | the two pages on loopback, and the code that GitHub sends back |
//! | `plan` | what policies need, beside what an App has |
//! | `permissions` | sets of permissions |
//! | `github` | GitHub's addresses, and requests as the App |

pub(crate) mod arguments;
mod create;
pub(crate) mod github;
mod page;
pub(crate) mod permissions;
pub(crate) mod plan;

use crate::outcome::{Failure, Outcome};

use arguments::App;

pub(crate) fn run(arguments: &App) -> Result<Outcome, Failure> {
    match arguments {
        App::Create(arguments) => create::run(arguments, &mut std::io::stderr()),
        App::Plan(arguments) => plan::run(arguments),
    }
}
