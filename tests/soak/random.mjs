// Reproducible randomness: every decision is a function of the seed, of its subject, and of a counter.

/** A generator of its own for a list of numbers. */
export function chance(...seeds) {
  let state = 0x9e3779b9;
  for (const seed of seeds) state = mix(Math.imul(state ^ seed, 0x85ebca6b) + 0x6d2b79f5);
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    return (mix(state) >>> 0) / 2 ** 32;
  };
  return {
    /** From 0 to 1, without 1. */
    next,
    /** Whether something of this probability happens. */
    happens: (probability) => next() < probability,
    /** One of a list. */
    of: (list) => list[Math.floor(next() * list.length)],
    /** One of the names of `{name: weight}`. */
    weighted(weights) {
      let rest = next() * Object.values(weights).reduce((sum, weight) => sum + weight, 0);
      for (const [name, weight] of Object.entries(weights)) if ((rest -= weight) < 0) return name;
      return Object.keys(weights).at(-1);
    },
    /** A whole number from 0 below `bound`. */
    below: (bound) => Math.floor(next() * bound),
  };
}

function mix(number) {
  let mixed = number | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return mixed ^ (mixed >>> 14);
}
