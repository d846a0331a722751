//! Which plain (unquoted) YAML scalars the Go service's reader does not read as their own text.
//!
//! That reader is `sigs.k8s.io/yaml`: yaml.v2 resolves a plain scalar by YAML 1.1 rules, and the value is then
//! converted back to text if the field is a string. `12345` and `true` survive the round trip, `on` comes back as
//! `true` and `1.10` as `1.1`. A policy must not have two readings, so whatever does not survive is refused here.
//! `tests/data/go/scalars.tsv` has that reader's own answers.

/// Why a plain scalar has to be quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ambiguity {
    Null,
    Boolean,
    Number,
    Merge,
}

/// `None` if the Go service's reader yields exactly `text`.
pub(crate) fn ambiguity(text: &str) -> Option<Ambiguity> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Ambiguity::Null),
        // `true` and `false` survive; these become `true` or `false`.
        "y" | "Y" | "yes" | "Yes" | "YES" | "True" | "TRUE" | "on" | "On" | "ON" | "n" | "N" | "no"
        | "No" | "NO" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Some(Ambiguity::Boolean),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => return Some(Ambiguity::Number),
        "<<" => return Some(Ambiguity::Merge),
        _ => {}
    }
    if is_number(text) && !survives(text) { Some(Ambiguity::Number) } else { None }
}

/// Whether yaml.v2 may read the text as a number. Slightly more than it really does (a float out of range stays text
/// there), never less.
fn is_number(text: &str) -> bool {
    // yaml.v2 drops underscores where a sign or digit begins the text; Go's own integer parser forbids some of them,
    // which does not matter after they are gone.
    let begins_like_one = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    if !begins_like_one {
        return false;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let lower = unsigned.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            // yaml.v2 parses what follows `0b` again, with its own sign.
            let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
            return !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        }
    }
    is_float(&lower)
}

/// `[0-9]+(\.[0-9]*)?([e][-+]?[0-9]+)?` or `\.[0-9]+([e][-+]?[0-9]+)?`, without the sign, in lower case.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let mantissa_is_one = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_is_one = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_is_one && exponent_is_one
}

/// Whether a number is written exactly as Go writes it back.
fn survives(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let whole_is_canonical = !whole.is_empty()
        && whole.bytes().all(|b| b.is_ascii_digit())
        && (whole == "0" || !whole.starts_with('0'));
    if !whole_is_canonical {
        return false;
    }
    match fraction {
        // Integers are exact within 64 bits; beyond, they become floating point. There is no `-0`.
        None => text != "-0" && (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()),
        // Floats are written back in single precision, without an exponent only between 1e-4 and 1e6 (six digits
        // always survive single precision, more may not).
        Some(fraction) => {
            fraction.bytes().all(|b| b.is_ascii_digit())
                && fraction.ends_with(|c: char| ('1'..='9').contains(&c))
                && whole.len() + fraction.len() <= 6
                && !(whole == "0" && fraction.starts_with("0000"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_would_change_is_ambiguous() {
        for (text, why) in [
            ("on", Ambiguity::Boolean),
            ("no", Ambiguity::Boolean),
            ("y", Ambiguity::Boolean),
            ("True", Ambiguity::Boolean),
            ("~", Ambiguity::Null),
            ("null", Ambiguity::Null),
            ("", Ambiguity::Null),
            ("<<", Ambiguity::Merge),
            ("1.10", Ambiguity::Number),
            ("0x10", Ambiguity::Number),
            ("-0x_1f", Ambiguity::Number),
            ("010", Ambiguity::Number),
            ("08", Ambiguity::Number),
            ("0o7", Ambiguity::Number),
            ("0b1", Ambiguity::Number),
            ("1e3", Ambiguity::Number),
            ("1_000", Ambiguity::Number),
            ("+1", Ambiguity::Number),
            ("-0", Ambiguity::Number),
            (".5", Ambiguity::Number),
            ("1.", Ambiguity::Number),
            (".inf", Ambiguity::Number),
            (".nan", Ambiguity::Number),
            ("1234567.5", Ambiguity::Number),
            ("1.23456789", Ambiguity::Number),
            ("0.00001", Ambiguity::Number),
            ("18446744073709551616", Ambiguity::Number),
        ] {
            assert_eq!(ambiguity(text), Some(why), "{text:?}");
        }
    }

    #[test]
    fn what_go_leaves_alone_is_its_own_text() {
        for text in [
            "true",
            "false",
            "12345",
            "0",
            "-5",
            "1.5",
            "0.25",
            "123.5",
            "9223372036854775807",
            "18446744073709551615",
            "2001-01-01",
            "1:30",
            "=",
            "sts.example.com",
            "1.2.3",
            "0xzz",
            "1e",
            "e3",
            "_1",
            "+Inf",
            "nan",
            "None",
            "tRUE",
            ".github",
            "-",
            "--",
            "1 000",
            "yes!",
            "0b2",
            "0.0001",
        ] {
            assert_eq!(ambiguity(text), None, "{text:?}");
        }
    }
}
