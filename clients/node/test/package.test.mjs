// The package as npm packs it works alone, from both kinds of modules.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = path.resolve(fileURLToPath(import.meta.url), '../..');

test('the packed package works from both kinds of modules', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'uflow-node-'));
  try {
    const run = (command, ...words) =>
      execFileSync(command, words, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
    const [packed] = JSON.parse(
      execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: root, encoding: 'utf8' }),
    );
    const names = packed.files.map((file) => file.path);
    assert.ok(names.includes('dist/index.js') && names.includes('dist/index.d.ts') && names.includes('README.md'), names.join());
    assert.ok(!names.some((name) => /^(src|test|node_modules)\//.test(name)), names.join());
    run('tar', 'xzf', packed.filename);
    // What npm would install.
    const modules = path.join(folder, 'node_modules');
    mkdirSync(modules);
    renameSync(path.join(folder, 'package'), path.join(modules, 'uflow'));
    for (const name of ['@grpc', '@bufbuild']) {
      symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name));
    }
    const same =
      'const c = new UflowClient({ address: "127.0.0.1:1" }); c.close().then(() => console.log(typeof UflowError, MaskFormat.PNG))';
    writeFileSync(path.join(folder, 'a.cjs'), `const { MaskFormat, UflowClient, UflowError } = require('uflow'); ${same}`);
    writeFileSync(path.join(folder, 'a.mjs'), `import { MaskFormat, UflowClient, UflowError } from 'uflow'; ${same}`);
    assert.equal(run(process.execPath, 'a.cjs').trim(), 'function 1');
    assert.equal(run(process.execPath, 'a.mjs').trim(), 'function 1');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
