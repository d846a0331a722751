// The Worker as it is deployed, as the files of an archive that needs no Rust.

import { readFileSync } from 'node:fs';

/** `wrangler.toml` for a folder that has the built Worker in it: placeholders as they are, and nothing to build. */
export function deployable(settings) {
  const withoutBuild = settings.replace(/^\[build\]\n(?:(?!\[).*\n)*/m, '');
  const changed = withoutBuild.replace(/^main = "build\/index\.js"$/m, 'main = "index.js"\n# Bundled already; wrangler sends the two files as they are.\nno_bundle = true\nrules = [{ type = "CompiledWasm", globs = ["**/*.wasm"], fallthrough = false }]');
  if (/^\[build\]/m.test(changed) || !/^main = "index\.js"$/m.test(changed)) throw new Error('wrangler.toml has no `[build]` or `main` as the release expects them');
  return changed;
}

const guide = (wrangler) => `# Deploying this archive

No Rust is needed, only Node.js 20.19 or newer.

1. \`npx wrangler@${wrangler} login\`
2. \`npx wrangler@${wrangler} kv namespace create OCTO_STS_KV\`; write the id that it prints, your domain and your route
   into \`wrangler.toml\`.
3. \`npx wrangler@${wrangler} secret put GITHUB_APP_ID\`, and
   \`npx wrangler@${wrangler} secret put GITHUB_APP_PRIVATE_KEY < app.private-key.pem\`. (\`sts app create\` makes the App and
   does both.)
4. \`npx wrangler@${wrangler} deploy\`
5. \`curl https://YOUR-DOMAIN/readyz\` says \`ready\`, or names what is missing.

\`docs/tutorial.md\` of the repository goes through it step by step.
`;

/** `{path: Buffer}`. `read` gives a file of the tree. */
export function workerFiles({ folder, index, wasm, wrangler, read = readFileSync }) {
  const text = (path) => read(`${folder}/${path}`, 'utf8');
  const schemas = ['organization-trust-policy', 'trust-policy', 'trusted-token-issuers'].map((name) => `${name}.schema.json`);
  return {
    'index.js': index,
    'index_bg.wasm': wasm,
    'wrangler.toml': Buffer.from(deployable(text('wrangler.toml'))),
    'README.md': Buffer.from(guide(wrangler)),
    LICENSE: Buffer.from(text('LICENSE')),
    ...Object.fromEntries(schemas.map((name) => [`schemas/${name}`, Buffer.from(text(`policies-schema/${name}`))])),
  };
}
