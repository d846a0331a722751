//! The type chain cannot be forged: these attempts do not compile, and the message says why.

#[test]
fn the_type_chain_cannot_be_forged() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_fail/pass_the_chain.rs");
    cases.compile_fail("tests/compile_fail/forge_*.rs");
    cases.compile_fail("tests/compile_fail/secret_*.rs");
}
