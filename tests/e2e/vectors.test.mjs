// The published signatures of the JOSE RFCs and of Project Wycheproof through the Worker's own port, Web Crypto in the real
// runtime: the same vectors as for the native port in tests/vectors.rs, and the same verdicts.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { Internet } from './support/internet.mjs';
import { Worker } from './support/worker.mjs';

const QUESTIONS_AT_ONCE = 250;

const vectors = JSON.parse(readFileSync(new URL('../../target/tmp/vectors.json', import.meta.url), 'utf8'));
const algorithms = new Map();
for (const vector of vectors) algorithms.set(vector.alg, [...(algorithms.get(vector.alg) ?? []), vector]);

describe('published signatures', () => {
  let internet;
  let worker;

  before(async () => {
    internet = await Internet.open();
    worker = await Worker.start({ internet, vars: {}, folder: 'target/vectors' });
  });
  after(() => Promise.all([worker?.stop(), internet?.close()]));

  test('are there for every algorithm', () => {
    const all = ['ES256', 'ES384', 'EdDSA', 'PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'];
    assert.deepEqual([...algorithms.keys()].toSorted(), all);
    assert.ok(vectors.length > 3000, String(vectors.length));
  });

  for (const [algorithm, ofAlgorithm] of algorithms) {
    test(`of ${algorithm} get the published verdict: ${ofAlgorithm.length}`, async () => {
      for (let from = 0; from < ofAlgorithm.length; from += QUESTIONS_AT_ONCE) {
        const questions = ofAlgorithm.slice(from, from + QUESTIONS_AT_ONCE);
        const response = await worker.request('/vectors', { method: 'POST', body: JSON.stringify(questions) });
        const verdicts = await response.json();
        const wrong = questions.filter(({ valid }, index) => verdicts[index] !== valid);
        assert.deepEqual(wrong.map(({ name }) => name), []);
      }
    });
  }
});
