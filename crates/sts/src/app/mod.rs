//! `sts app`: the GitHub App of the service.
//!
//! | module | owns |
//! | --- | --- |
//! | `create` | the manifest, and where the App's secrets go |
//! | `page` | the two pages on loopback, and the code that GitHub sends back |
//! | `plan` | what policies need, compared with what an App has |
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
