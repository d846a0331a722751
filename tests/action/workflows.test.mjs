// The rules for workflows refuse what they should.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blocksOf, problemsOfWorkflow } from '../../scripts/check-workflows.mjs';

const SHA = '11bd71901bbe5b1630ceea73d27597364c9af683';
const GOOD = `on: push
permissions: {}
jobs:
  a:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - id: one
        run: echo x >> "$GITHUB_OUTPUT"
      - run: echo "$X"
        env:
          X: \${{ steps.one.outputs.x }}
`;

test('a good workflow has no problem', () => {
  assert.deepEqual(problemsOfWorkflow(GOOD), []);
});

for (const [change, by, problem] of [
  ['permissions: {}\n', '', /`permissions` is missing/],
  ['permissions: {}', 'permissions: write-all', /too much/],
  ['permissions: {}', 'permissions: { content: read }', /`content` is not a permission/],
  ['permissions: {}', 'permissions: { contents: all }', /`all` is not a level/],
  ['permissions: {}', 'permisions: {}', /`permisions` is not a key/],
  ['on: push', 'on: pull_request_target', /strangers/],
  ['on: push', 'on: psuh', /`psuh` is not a known event/],
  ['    timeout-minutes: 5\n', '', /`timeout-minutes` is missing/],
  ['ubuntu-24.04', 'ubuntu-latest', /changes by itself/],
  ['    runs-on: ubuntu-24.04\n', '', /`runs-on` is missing/],
  ['    runs-on', '    needs: b\n    runs-on', /needs `b`/],
  ['echo "$X"', 'echo ${{ github.head_ref }}', /becomes a part of the script/],
  ['steps.one', 'steps.two', /`steps.two` is not an earlier step/],
  ['      - run: echo "$X"', '      - uses: actions/cache@v4\n      - run: echo "$X"', /not pinned/],
  ['      - run: echo "$X"', `      - uses: actions/checkout@${SHA}\n      - run: echo "$X"`, /persist-credentials/],
  ['      - run: echo "$X"', '      - name: nothing\n      - run: echo "$X"', /neither or both/],
  ['on: push', 'on: push\non: push', /unique/],
  ['X: ${{ steps.one.outputs.x }}', 'X: ${{ needs.b.outputs.x }}', /`needs.b` is not among/],
]) {
  test(`refused: ${JSON.stringify(by)} for ${JSON.stringify(change)}`, () => {
    const changed = GOOD.replace(change, () => by);
    assert.notEqual(changed, GOOD);
    const problems = problemsOfWorkflow(changed);
    assert.ok(problems.some((found) => problem.test(found)), problems.join('\n'));
  });
}

test('the blocks of a document that are workflows or steps are found', () => {
  const text = 'a\n```yaml\njobs:\n  x: 1\n```\nb\n```yaml\n- uses: a/b@main\n```\n```yaml\nissuer: x\n```\n';
  assert.deepEqual(blocksOf(text).map(({ line, isWorkflow }) => [line, isWorkflow]), [[3, true], [8, false]]);
});
