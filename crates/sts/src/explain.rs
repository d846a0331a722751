//! `sts explain`: checks a token against every rule of a policy, and says why it was refused and what would admit it.

use octo_sts_policy::{
    Actual, AppRule, AudienceRule, CompiledPolicy, Evaluation, Expectation, PolicyHome, Rule, Severity, Step,
    evaluate, load,
};
use octo_sts_verifier::oidc::{Claims, Issuer, IssuerRules, IssuerShape, Quoted};
use serde_json::{Value, json};

use super::amendment::{self, Amendment};
use super::arguments::{Explain, ExplainFormat};
use super::difference;
use super::files::{self, Checked, Kind};
use super::outcome::{Failure, Outcome, Style};
use super::report;
use super::token::{self, Evidence, Standing};
use super::upstream;

/// A decision and everything that is said about it.
struct Explanation<'a> {
    path: String,
    policy: &'a CompiledPolicy,
    evidence: &'a Evidence,
    evaluation: Evaluation,
    amendment: Option<Amendment>,
    /// Why an exchange refuses the token before any policy is read.
    refusals: Vec<String>,
    /// Shown whether or not the token is admitted.
    remarks: Vec<String>,
}

pub(crate) fn run(arguments: &Explain, style: &Style) -> Result<Outcome, Failure> {
    let standard_input = std::path::Path::new("-");
    if arguments.policy == standard_input && reads_standard_input(arguments) {
        let message = "the policy and the token cannot both come from standard input";
        return Err(Failure::Usage(message.to_owned()));
    }
    if let Some(name) = &arguments.upstream {
        return upstream::run(name, arguments, *style);
    }
    let home = files::home_of(&arguments.home, Some(&arguments.policy));
    let source = files::read_policy(&arguments.policy)?;
    let path = arguments.policy.display().to_string();
    let report = load(&source, home);
    let Some(policy) = &report.value else {
        let mut diagnostics = report.diagnostics;
        diagnostics.retain(|diagnostic| diagnostic.severity == Severity::Error);
        let file = Checked { path, kind: Kind::Policy(home), source, diagnostics, accepted: Vec::new() };
        return Ok(broken(&file, arguments, *style));
    };
    let domain = domain(arguments, policy)?;
    let evidence = token::evidence(arguments)?;
    let evaluation = evaluate(policy, &evidence.claims, &domain);
    let issuer = unacceptable_issuer(arguments, &evidence, &domain);
    let refusals: Vec<String> = issuer.iter().cloned().chain(expired(&evidence)).collect();
    let explanation = Explanation {
        path,
        policy,
        evidence: &evidence,
        // No policy can make such an issuer acceptable.
        amendment: amendment::of(policy, &evaluation, &evidence.claims, &domain).filter(|_| issuer.is_none()),
        refusals,
        remarks: remarks(policy),
        evaluation,
    };
    Ok(match arguments.format {
        ExplainFormat::Human => Outcome::verdict(human(&explanation, *style), explanation.admits()),
        ExplainFormat::Json => {
            Outcome::document(format!("{:#}\n", machine(&explanation)), explanation.admits())
        }
    })
}

impl Explanation<'_> {
    /// Whether an exchange would continue to mint.
    fn admits(&self) -> bool {
        self.evaluation.satisfied() && self.refusals.is_empty()
    }
}

/// Why an exchange refuses the issuer, whatever a policy says.
fn unacceptable_issuer(arguments: &Explain, evidence: &Evidence, domain: &str) -> Option<String> {
    let rules = IssuerRules {
        allowed: None,
        own_domain: domain.to_owned(),
        allow_loopback_http: arguments.allow_loopback_http,
    };
    let error = Issuer::parse(evidence.claims.issuer(), &rules).err()?;
    let text = format!("{error}; an exchange refuses the token before any policy is read");
    let can_be_listed = evidence.claims.issuer().parse::<IssuerShape>().is_ok();
    Some(if can_be_listed {
        format!("{text}, unless its operator has listed exactly this issuer")
    } else {
        text
    })
}

fn expired(evidence: &Evidence) -> Option<String> {
    match evidence.standing {
        Standing::Decoded { expired: true } => {
            Some("the token has expired; an exchange would refuse it before any policy is read".to_owned())
        }
        Standing::Given | Standing::Decoded { expired: false } | Standing::Verified => None,
    }
}

fn reads_standard_input(arguments: &Explain) -> bool {
    let evidence = &arguments.evidence;
    evidence.token.as_deref() == Some("-") || evidence.claims.as_deref() == Some(std::path::Path::new("-"))
}

fn broken(file: &Checked, arguments: &Explain, style: Style) -> Outcome {
    match arguments.format {
        ExplainFormat::Human => {
            let problems = report::human::problems(file, style);
            let verdict = style.error("refused");
            Outcome::verdict(
                format!("{problems}{verdict}: the policy is broken, so it admits nobody until it is fixed\n"),
                false,
            )
        }
        ExplainFormat::Json => {
            let diagnostics = report::json::problems(file);
            let document = json!({ "version": 1, "policy": file.path, "decision": "refused", "diagnostics": diagnostics });
            Outcome::document(format!("{document:#}\n"), false)
        }
    }
}

/// The service's own audience, which is needed only if the policy names none.
fn domain(arguments: &Explain, policy: &CompiledPolicy) -> Result<String, Failure> {
    match (&arguments.domain, policy.audience()) {
        (Some(domain), _) => Ok(domain.clone()),
        (None, AudienceRule::Named(_)) => Ok(String::new()),
        (None, AudienceRule::Domain) => Err(Failure::Usage(
            "the policy names no audience, so a token must be meant for the service itself: say for which, \
             for example `--domain sts.example.com`"
                .to_owned(),
        )),
    }
}

fn remarks(policy: &CompiledPolicy) -> Vec<String> {
    let app = match policy.app() {
        AppRule::Any => None,
        AppRule::Exact(name) => Some(format!("only for the app {} of the service", Quoted(name))),
        AppRule::Pattern(pattern) => Some(format!(
            "only for an app of the service whose whole name matches {}",
            Quoted(pattern.source())
        )),
    };
    app.into_iter().collect()
}

pub(crate) fn standing(evidence: &Evidence) -> &'static str {
    match evidence.standing {
        Standing::Given => "claims as given, not verified",
        Standing::Decoded { .. } => {
            "decoded, NOT verified: anybody could have made it (`--verify` asks its issuer)"
        }
        Standing::Verified => "verified: signed by its issuer, and valid now",
    }
}

fn rule_name(rule: &Rule) -> String {
    match rule {
        Rule::Issuer => "issuer".to_owned(),
        Rule::Subject => "subject".to_owned(),
        Rule::Audience => "audience".to_owned(),
        Rule::Claim(name) => format!("claim {}", Quoted(name)),
    }
}

fn expected(policy: &CompiledPolicy, step: &Step) -> String {
    match (&step.expected, &step.rule, policy.audience()) {
        (Expectation::Exact(text), Rule::Audience, AudienceRule::Domain) => {
            format!("{} (the service's domain: the policy names no audience)", Quoted(text))
        }
        (Expectation::Exact(text), _, _) => Quoted(text).to_string(),
        (Expectation::Pattern(pattern), _, _) => format!("{} as a whole", Quoted(pattern)),
    }
}

/// What the token has, in words.
pub(crate) fn actual(actual: &Actual) -> String {
    match actual {
        Actual::Text(text) => Quoted(text).to_string(),
        Actual::Texts(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| Quoted(text).to_string()).collect();
            format!("one of {}", texts.join(", "))
        }
        Actual::Missing => "not in the token".to_owned(),
        Actual::WrongType(what) => (*what).to_owned(),
    }
}

/// Describes what an admitted token may do.
fn granted(policy: &CompiledPolicy) -> String {
    let permissions: Vec<String> =
        policy.permissions().iter().map(|(name, level)| format!("{name} {level}")).collect();
    let reach = match (policy.home(), policy.repositories()) {
        (PolicyHome::Repository, _) => "this repository".to_owned(),
        (PolicyHome::OrganizationPolicyRepository, None) => {
            "every repository of the installation, for the scope of the organization".to_owned()
        }
        (PolicyHome::OrganizationPolicyRepository, Some(repositories)) => {
            repositories.iter().map(|name| Quoted(name.as_str()).to_string()).collect::<Vec<_>>().join(", ")
        }
    };
    format!("{} on {reach}", permissions.join(", "))
}

fn human(explanation: &Explanation<'_>, style: Style) -> String {
    let Explanation { path, policy, evidence, evaluation, amendment, refusals, remarks } = explanation;
    let mut out = format!(
        "{} {}\n{} {}\n\n",
        style.strong("policy"),
        report::shown(path),
        style.strong("token "),
        standing(evidence)
    );
    for step in evaluation.steps() {
        let verdict = if step.holds { style.good("holds") } else { style.error("does not hold") };
        out.push_str(&format!("{}: {verdict}\n", style.strong(&rule_name(&step.rule))));
        out.push_str(&format!("    expected  {}\n", expected(policy, step)));
        out.push_str(&format!("    actual    {}\n", actual(&step.actual)));
        if let Some(hint) = difference_of(step, &evidence.claims) {
            out.push_str(&format!("    {} {hint}\n", style.warning("why      ")));
        }
    }
    out.push('\n');
    if explanation.admits() {
        out.push_str(&format!("{}: {}\n", style.good("admitted"), granted(policy)));
    } else if evaluation.satisfied() {
        out.push_str("every rule holds\n");
    } else {
        let failed = evaluation.steps().iter().filter(|step| !step.holds).count();
        let rules = if failed == 1 { "1 rule does".to_owned() } else { format!("{failed} rules do") };
        out.push_str(&format!("{}: {rules} not hold\n", style.error("refused")));
    }
    for refusal in refusals {
        out.push_str(&format!("{}: {refusal}\n", style.error("refused")));
    }
    for remark in remarks {
        out.push_str(&format!("{}: {remark}\n", style.warning("note")));
    }
    match amendment {
        None if evaluation.satisfied() || !refusals.is_empty() => {}
        None => out.push_str("\nno change of the policy admits this token\n"),
        Some(amendment) => out.push_str(&change(amendment, style)),
    }
    out
}

fn change(amendment: &Amendment, style: Style) -> String {
    let mut out = String::from(
        "\nthe smallest change of the policy that admits exactly this token, if that is what you want:\n\n",
    );
    for line in &amendment.lines {
        let line = if line.starts_with('-') {
            style.error(line)
        } else if line.starts_with('+') {
            style.good(line)
        } else {
            line.clone()
        };
        out.push_str(&format!("    {line}\n"));
    }
    if let Some(audience) = &amendment.audience {
        out.push_str(&format!(
            "\n{}: the token was meant for {}; whoever else receives such tokens could use them here. Instead, ask its issuer\n\
             for a token with the audience that the policy expects\n",
            style.warning("careful"),
            Quoted(audience)
        ));
    }
    if !amendment.dropped.is_empty() {
        let names: Vec<String> = amendment.dropped.iter().map(|name| Quoted(name).to_string()).collect();
        out.push_str(&format!(
            "\n{}: without {} the policy is wider for everybody; it is better to add it to the token\n",
            style.warning("careful"),
            names.join(", ")
        ));
    }
    out
}

fn difference_of(step: &Step, claims: &Claims) -> Option<String> {
    if step.holds { None } else { difference::of(step, claims) }
}

fn machine(explanation: &Explanation<'_>) -> Value {
    let Explanation { path, policy, evidence, evaluation, amendment, refusals, remarks } = explanation;
    let rule = |step: &Step| {
        let (kind, name) = match &step.rule {
            Rule::Issuer => ("issuer", None),
            Rule::Subject => ("subject", None),
            Rule::Audience => ("audience", None),
            Rule::Claim(name) => ("claim", Some(name)),
        };
        json!({
            "rule": kind,
            "claim": name,
            "expected": match &step.expected {
                Expectation::Exact(text) => json!({ "exact": text }),
                Expectation::Pattern(pattern) => json!({ "pattern": pattern }),
            },
            "actual": match &step.actual {
                Actual::Text(text) => json!(text),
                Actual::Texts(texts) => json!(texts),
                Actual::Missing | Actual::WrongType(_) => Value::Null,
            },
            "holds": step.holds,
            "why": difference_of(step, &evidence.claims),
        })
    };
    json!({
        "version": 1,
        "policy": path,
        "verified": evidence.standing == Standing::Verified,
        "decision": if explanation.admits() { "admitted" } else { "refused" },
        "refusals": refusals,
        "rules": evaluation.steps().iter().map(rule).collect::<Vec<_>>(),
        "permissions": policy.permissions(),
        "app": match policy.app() {
            AppRule::Any => Value::Null,
            AppRule::Exact(name) => json!({ "exact": name }),
            AppRule::Pattern(pattern) => json!({ "pattern": pattern.source() }),
        },
        "notes": remarks,
        "change": amendment.as_ref().map(|amendment| json!({
            "lines": amendment.lines, "policy": amendment.yaml, "dropped": amendment.dropped,
            "audience": amendment.audience,
        })),
    })
}
