//! Strict JSON: what two readers could read differently is refused.
