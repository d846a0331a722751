//! Matches a parsed pattern by Thompson's simulation: it tracks all states that the text so far can lead to, each at
//! most once per character. There is no backtracking, so a match costs at most states × characters.
//!
//! There are no captures and no priorities: the question is whether the whole text matches, and the order of
//! alternatives, greedy or lazy, does not change the answer. docs/adr/0013 says why this is not an external crate.

use std::cell::Cell;

use super::tree::{Assertion, Kind, Node};
use crate::cost::work;
use crate::weight;

/// The most states that the program of a pattern may have.
pub(super) const MAX_STATES: u64 = 8192;

/// The most steps that all patterns of one decision may take together; a step is a visit of one state for one
/// character.
///
/// A token has at most 16 KiB, so this allows thirty live states for each of its bytes; typical patterns have five. It
/// takes a few milliseconds in an isolate.
const MAX_STEPS: u32 = 500_000;

/// The remaining steps of a decision, shared by all its patterns.
#[derive(Debug)]
pub(crate) struct Steps(Cell<u32>);

impl Steps {
    pub(crate) fn of_a_decision() -> Self {
        Self(Cell::new(MAX_STEPS))
    }

    /// Returns whether there were enough.
    fn take(&self, steps: u32) -> bool {
        work(usize::try_from(steps).unwrap_or(usize::MAX));
        let left = self.0.get();
        self.0.set(left.saturating_sub(steps));
        steps <= left
    }
}

/// Whether a text matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matched {
    Yes,
    No,
    /// The steps were used up. Ignorance is never permission: for a decision, this is a no.
    TooExpensive,
}

/// An address in a program.
type Address = u16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instruction {
    Character(char),
    /// One of these ranges of the program.
    Set {
        first: u16,
        count: u16,
    },
    Any,
    AnyButLineFeed,
    Assertion(Assertion),
    /// Continues after itself and at that address.
    Fork(Address),
    Jump(Address),
    Accept,
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Program {
    instructions: Box<[Instruction]>,
    ranges: Box<[(char, char)]>,
    /// Accepts as soon as it can, not only at the text's end.
    anywhere: bool,
}

impl Program {
    /// For the whole text. `None` if it would have more than [`MAX_STATES`] states, which is known before any is made.
    pub(super) fn whole(root: &Node) -> Option<Self> {
        // Including the last one, which accepts.
        let states = root.states().saturating_add(1);
        if states > MAX_STATES {
            return None;
        }
        let mut builder = Builder::with_capacity(usize::try_from(states).ok()?);
        builder.node(root);
        Some(builder.program(false))
    }

    /// For `^p$` as the Go service writes it around alternatives: the first begins the text, the last ends it, or a
    /// line of it where the flag `m` is in force there, and all others match anywhere.
    pub(super) fn go_service(branches: &[Node], ends_multi_line: bool) -> Self {
        let mut builder = Builder::with_capacity(0);
        let start = builder.reserve();
        builder.push(Instruction::Any);
        builder.push(Instruction::Jump(start));
        builder.set(start, Instruction::Fork(builder.here()));
        let end = if ends_multi_line { Assertion::LineEnd } else { Assertion::TextEnd };
        builder.alternation(branches, Some((Assertion::TextStart, end)));
        builder.program(true)
    }

    /// How many bytes it takes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        weight::block(size_of_val(&*self.instructions)) + weight::block(size_of_val(&*self.ranges))
    }

    /// Uses at most states × characters of the remaining steps.
    pub(super) fn matches(&self, text: &str, steps: &Steps) -> Matched {
        // Most patterns begin with literal text, which decides most refusals: one state, no memory.
        let mut characters = text.chars();
        let mut previous = None;
        let mut start: Address = 0;
        while let Some(Instruction::Character(expected)) = self.instruction(start) {
            if !steps.take(1) {
                return Matched::TooExpensive;
            }
            let Some(character) = characters.next() else { return Matched::No };
            if character != expected {
                return Matched::No;
            }
            previous = Some(character);
            start += 1;
        }
        if self.instruction(start) == Some(Instruction::Accept) && !self.anywhere {
            return if characters.as_str().is_empty() { Matched::Yes } else { Matched::No };
        }
        let mut next = characters.next();
        let mut run = Run::of(self);
        let mut current = Vec::new();
        let mut following = Vec::new();
        run.follow(start, previous, next, &mut current);
        while steps.take(std::mem::take(&mut run.taken)) {
            if run.accepted && (self.anywhere || next.is_none()) {
                return Matched::Yes;
            }
            let Some(character) = next else { return Matched::No };
            if current.is_empty() {
                return Matched::No;
            }
            next = characters.next();
            run.round += 1;
            run.accepted = false;
            // For a set that has to be searched and is not entered.
            run.taken += u32::try_from(current.len()).unwrap_or(u32::MAX);
            for state in current.drain(..) {
                if self.consumes(state, character) {
                    run.follow(state + 1, Some(character), next, &mut following);
                }
            }
            std::mem::swap(&mut current, &mut following);
        }
        Matched::TooExpensive
    }

    fn instruction(&self, at: Address) -> Option<Instruction> {
        self.instructions.get(usize::from(at)).copied()
    }

    fn consumes(&self, state: Address, character: char) -> bool {
        match self.instruction(state) {
            Some(Instruction::Character(expected)) => character == expected,
            Some(Instruction::Set { first, count }) => {
                let first = usize::from(first);
                let ranges = self.ranges.get(first..first + usize::from(count)).unwrap_or_default();
                let at = ranges.partition_point(|&(_, high)| high < character);
                ranges.get(at).is_some_and(|&(low, _)| low <= character)
            }
            Some(Instruction::Any) => true,
            Some(Instruction::AnyButLineFeed) => character != '\n',
            Some(
                Instruction::Assertion(_) | Instruction::Fork(_) | Instruction::Jump(_) | Instruction::Accept,
            )
            | None => false,
        }
    }
}

/// The states that are entered at one place of the text.
struct Run<'p> {
    program: &'p Program,
    /// The round in which a state was last entered.
    entered: Vec<u32>,
    round: u32,
    open: Vec<Address>,
    accepted: bool,
    taken: u32,
}

impl<'p> Run<'p> {
    fn of(program: &'p Program) -> Self {
        let entered = vec![0; program.instructions.len()];
        Self { program, entered, round: 1, open: Vec::new(), accepted: false, taken: 0 }
    }

    /// Enters a state and all others that it leads to without a character, each once per round, and lists those that
    /// wait for one.
    fn follow(
        &mut self,
        start: Address,
        previous: Option<char>,
        next: Option<char>,
        waiting: &mut Vec<Address>,
    ) {
        let mut at = Some(start);
        while let Some(state) = at.take().or_else(|| self.open.pop()) {
            let Some(entered) = self.entered.get_mut(usize::from(state)) else { continue };
            if *entered == self.round {
                continue;
            }
            *entered = self.round;
            self.taken += 1;
            match self.program.instruction(state) {
                Some(Instruction::Fork(there)) => {
                    self.open.push(there);
                    at = Some(state + 1);
                }
                Some(Instruction::Jump(there)) => at = Some(there),
                Some(Instruction::Assertion(assertion)) => {
                    at = assertion.holds(previous, next).then_some(state + 1);
                }
                Some(Instruction::Accept) => self.accepted = true,
                Some(
                    Instruction::Character(_)
                    | Instruction::Set { .. }
                    | Instruction::Any
                    | Instruction::AnyButLineFeed,
                ) => waiting.push(state),
                None => {}
            }
        }
    }
}

impl Assertion {
    /// Between these two characters of the text; `None` is its beginning or end.
    fn holds(self, previous: Option<char>, next: Option<char>) -> bool {
        let is_word = |side: Option<char>| side.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        match self {
            Self::TextStart => previous.is_none(),
            Self::TextEnd => next.is_none(),
            Self::LineStart => previous.is_none_or(|character| character == '\n'),
            Self::LineEnd => next.is_none_or(|character| character == '\n'),
            Self::WordBoundary => is_word(previous) != is_word(next),
            Self::NotWordBoundary => is_word(previous) == is_word(next),
        }
    }
}

/// Writes a program from front to back. It visits each node of the tree once: a counted repetition is written once and
/// then copied.
struct Builder {
    instructions: Vec<Instruction>,
    ranges: Vec<(char, char)>,
}

impl Builder {
    fn with_capacity(instructions: usize) -> Self {
        Self { instructions: Vec::with_capacity(instructions), ranges: Vec::new() }
    }

    fn program(mut self, anywhere: bool) -> Program {
        self.push(Instruction::Accept);
        Program { instructions: self.instructions.into(), ranges: self.ranges.into(), anywhere }
    }

    /// The address of the next instruction. There are at most [`MAX_STATES`], which an address holds.
    fn here(&self) -> Address {
        Address::try_from(self.instructions.len()).unwrap_or(Address::MAX)
    }

    fn push(&mut self, instruction: Instruction) {
        work(1);
        self.instructions.push(instruction);
    }

    /// A placeholder for an instruction that is known later.
    fn reserve(&mut self) -> Address {
        let here = self.here();
        self.push(Instruction::Accept);
        here
    }

    fn set(&mut self, at: Address, instruction: Instruction) {
        if let Some(place) = self.instructions.get_mut(usize::from(at)) {
            *place = instruction;
        }
    }

    fn node(&mut self, node: &Node) {
        work(1);
        match &node.kind {
            Kind::Empty => {}
            Kind::Literal(character) => self.push(Instruction::Character(*character)),
            Kind::Set(set) => {
                let first = self.ranges.len();
                self.ranges.extend(set.ranges());
                // A pattern of 1024 characters has fewer than three thousand ranges.
                let count = u16::try_from(self.ranges.len() - first).unwrap_or(0);
                let first = u16::try_from(first).unwrap_or(0);
                self.push(Instruction::Set { first, count });
            }
            Kind::Dot { line_feed: true } => self.push(Instruction::Any),
            Kind::Dot { line_feed: false } => self.push(Instruction::AnyButLineFeed),
            Kind::Assertion(assertion) => self.push(Instruction::Assertion(*assertion)),
            Kind::Group(inner) => self.node(inner),
            Kind::Repetition { of, min, max } => self.repetition(of, *min, *max),
            Kind::Concatenation(parts) => {
                for part in parts {
                    self.node(part);
                }
            }
            Kind::Alternation(branches) => self.alternation(branches, None),
        }
    }

    fn alternation(&mut self, branches: &[Node], fence: Option<(Assertion, Assertion)>) {
        let mut ends = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let is_last = index + 1 == branches.len();
            let fork = (!is_last).then(|| self.reserve());
            if let Some((before, _)) = fence.filter(|_| index == 0) {
                self.push(Instruction::Assertion(before));
            }
            self.node(branch);
            if let Some((_, behind)) = fence.filter(|_| is_last) {
                self.push(Instruction::Assertion(behind));
            }
            if let Some(fork) = fork {
                ends.push(self.reserve());
                self.set(fork, Instruction::Fork(self.here()));
            }
        }
        for end in ends {
            self.set(end, Instruction::Jump(self.here()));
        }
    }

    fn repetition(&mut self, of: &Node, min: u32, max: Option<u32>) {
        let begin = self.here();
        // Optional parts have a fork before them.
        let first_fork = (min == 0).then(|| self.reserve());
        let body = self.here();
        self.node(of);
        let behind = self.here();
        if body == behind || max == Some(0) {
            // Nothing, however often; an assertion is an instruction.
            self.instructions.truncate(usize::from(begin));
            return;
        }
        for _ in 1..min {
            self.copy(body, behind);
        }
        let Some(max) = max else {
            match first_fork {
                Some(fork) => {
                    self.push(Instruction::Jump(fork));
                    self.set(fork, Instruction::Fork(self.here()));
                }
                None => {
                    let last = self.here().saturating_sub(behind - body);
                    self.push(Instruction::Fork(last));
                }
            }
            return;
        };
        let mut forks = Vec::new();
        forks.extend(first_fork);
        for _ in min.max(1)..max {
            forks.push(self.reserve());
            self.copy(body, behind);
        }
        for fork in forks {
            self.set(fork, Instruction::Fork(self.here()));
        }
    }

    /// Copies a part of the program. It leads only into itself and to its own end.
    fn copy(&mut self, from: Address, to: Address) {
        let by = self.here() - from;
        for at in from..to {
            let Some(instruction) = self.instructions.get(usize::from(at)).copied() else { return };
            self.push(match instruction {
                Instruction::Fork(there) => Instruction::Fork(there.saturating_add(by)),
                Instruction::Jump(there) => Instruction::Jump(there.saturating_add(by)),
                other @ (Instruction::Character(_)
                | Instruction::Set { .. }
                | Instruction::Any
                | Instruction::AnyButLineFeed
                | Instruction::Assertion(_)
                | Instruction::Accept) => other,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn program(source: &str) -> Program {
        Program::whole(&parse(source).unwrap().0).unwrap()
    }

    fn matches(source: &str, text: &str) -> bool {
        program(source).matches(text, &Steps::of_a_decision()) == Matched::Yes
    }

    #[test]
    fn the_count_of_states_is_the_length_of_the_program() {
        for source in [
            "",
            "a",
            "(?:)",
            "(){1000}",
            "((){0,9})*",
            "a*",
            "a+",
            "a?",
            "a{0}",
            "(ab|c|){2,5}x",
            "(a{3,}){4}",
            "(a{0,3}|b){0,7}",
            "^$\\b\\B\\A\\z",
            "(\\b){3}",
            "[a-z]{0,1000}",
            "((a|b)*c){3}|d",
            "(|)",
            "a{1}",
            "(a*)*",
            "(a{1,1}){0,1}",
        ] {
            let root = parse(source).unwrap().0;
            let length = program(source).instructions.len();
            assert_eq!(u64::try_from(length).unwrap(), root.states() + 1, "{source}");
        }
    }

    #[test]
    fn repetitions_count() {
        for (source, from, to) in
            [("a{3}", 3, 3), ("a{2,4}", 2, 4), ("a{2,}", 2, 30), ("a*", 0, 30), ("a+", 1, 30), ("a?", 0, 1)]
        {
            for group in [source.to_owned(), source.replace('a', "(a|a)"), source.replace('a', "(a?a|a)")] {
                for length in 0..=30 {
                    // An optional second `a` doubles the upper bound.
                    let to = if group.contains("a?a") { to * 2 } else { to };
                    let expected = (from..=to).contains(&length);
                    assert_eq!(matches(&group, &"a".repeat(length)), expected, "{group} on {length}");
                }
            }
        }
        assert!(matches("a{0}", "") && !matches("a{0}", "a"));
        assert!(matches("(a{2}b){2}", "aabaab") && !matches("(a{2}b){2}", "aabab"));
    }

    #[test]
    fn a_loop_over_nothing_ends() {
        for source in ["(a*)*", "(a?)+", "(|a)*", "(\\b)*a*", "(^)*a*", "((a*)*)*", "(a*){1000}"] {
            assert!(matches(source, "aaa") && !matches(source, "aab"), "{source}");
        }
    }

    #[test]
    fn a_match_costs_at_most_states_times_characters() {
        let hostile = format!("({}){{200}}z", ".*a?.*a?.*a?.*");
        for (source, text) in [
            (hostile.as_str(), "a".repeat(100)),
            ("(a|b|c)*", "abc".repeat(50)),
            ("a{0,1000}b", "a".repeat(1000)),
        ] {
            let program = program(source);
            let steps = Steps(Cell::new(u32::MAX));
            program.matches(&text, &steps);
            let taken = u64::from(u32::MAX - steps.0.get());
            // Entered once, then checked once more with the character.
            let bound = 2 * u64::try_from(program.instructions.len() * (text.len() + 1)).unwrap();
            assert!(taken <= bound, "{taken} {bound} {source}");
        }
    }

    #[test]
    fn without_steps_there_is_no_answer() {
        let hostile = format!("({}){{200}}z", ".*a?.*a?.*a?.*");
        let program = program(&hostile);
        let steps = Steps::of_a_decision();
        assert_eq!(program.matches(&"a".repeat(10_000), &steps), Matched::TooExpensive);
        // Steps used by the first pattern of a decision are not available to the next.
        assert_eq!(super::tests::program("a").matches("a", &steps), Matched::TooExpensive);
    }
}
