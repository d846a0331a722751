//! `sts explain --upstream`: checks a token against every rule of an upstream of the proxy.

use octo_sts_policy::{Evaluation, Expectation, Rule, Step};
use octo_sts_verifier::oidc::Quoted;
use serde_json::{Value, json};

use super::arguments::{Explain, ExplainFormat};
use super::explain::{actual, standing};
use super::files;
use super::outcome::{Failure, Outcome, Style};
use super::token;
use super::wrangler;

pub(crate) fn run(name: &str, arguments: &Explain, style: Style) -> Result<Outcome, Failure> {
    let path = arguments.policy.display();
    let source = files::read(&arguments.policy)?;
    let unusable = |why: &str| Failure::Failed(format!("`{path}` has no usable upstreams: {why}"));
    let (reading, domain) = wrangler::upstreams(&source).map_err(|why| unusable(&why))?;
    let Some(upstreams) = reading.upstreams.flatten() else {
        let first = reading.problems.first().map_or("there are none", String::as_str);
        return Err(unusable(&format!("{first} (`sts validate {path}` reports every problem)")));
    };
    let upstream = upstreams.find(name).ok_or_else(|| {
        let known: Vec<String> = upstreams.iter().map(|upstream| format!("`{}`", upstream.name)).collect();
        Failure::Failed(format!("there is no upstream `{name}`; there are {}", known.join(", ")))
    })?;
    let evidence = token::evidence(arguments)?;
    let evaluations: Vec<Evaluation> =
        upstream.allow.iter().map(|rule| rule.evaluate(&evidence.claims)).collect();
    let is_admitted = evaluations.iter().any(Evaluation::satisfied);
    let text = match arguments.format {
        ExplainFormat::Human => {
            let verdict = if is_admitted { style.good("admitted") } else { style.error("refused") };
            let mut out = format!("{verdict} by the upstream `{name}` of `{domain}`\n");
            out.push_str(&format!("token: {}\n", standing(&evidence)));
            for (evaluation, number) in evaluations.iter().zip(1u32..) {
                out.push_str(&format!("\n{}\n", style.strong(&format!("rule {number}"))));
                out.extend(evaluation.steps().iter().map(|step| line(step, style)));
            }
            out
        }
        ExplainFormat::Json => {
            let rules: Vec<Value> = evaluations.iter().map(machine).collect();
            let decision = if is_admitted { "admitted" } else { "refused" };
            let document = json!({ "version": 1, "upstream": name, "decision": decision, "rules": rules });
            format!("{document:#}\n")
        }
    };
    Ok(Outcome::verdict(text, is_admitted))
}

fn line(step: &Step, style: Style) -> String {
    let mark = if step.holds { style.good("  holds") } else { style.error("  fails") };
    let what = match &step.rule {
        Rule::Issuer => "issuer".to_owned(),
        Rule::Subject => "subject".to_owned(),
        Rule::Audience => "audience".to_owned(),
        Rule::Claim(name) => format!("claim {}", Quoted(name)),
    };
    let expected = match &step.expected {
        Expectation::Exact(text) => Quoted(text).to_string(),
        Expectation::Pattern(pattern) => format!("{} as a whole", Quoted(pattern)),
    };
    format!("{mark}  {what}: expected {expected}, is {}\n", actual(&step.actual))
}

fn machine(evaluation: &Evaluation) -> Value {
    let steps = evaluation.steps().iter().map(|step| {
        let rule = match &step.rule {
            Rule::Issuer => "issuer",
            Rule::Subject => "subject",
            Rule::Audience => "audience",
            Rule::Claim(name) => name.as_str(),
        };
        let expected = match &step.expected {
            Expectation::Exact(text) => json!({ "exact": text }),
            Expectation::Pattern(pattern) => json!({ "pattern": pattern }),
        };
        let actual: Vec<&str> = step.actual.texts().collect();
        json!({ "rule": rule, "holds": step.holds, "expected": expected, "actual": actual })
    });
    json!({ "admits": evaluation.satisfied(), "steps": steps.collect::<Vec<_>>() })
}
