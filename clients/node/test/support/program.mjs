// The program under test, its model and its pictures.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { crop, decodePng, encodePng } from './png.mjs';

export const repository = path.resolve(fileURLToPath(import.meta.url), '../../../../..');
export const program = process.env.UFLOW ?? path.join(repository, 'target', 'debug', 'uflow');
const library = path.join(repository, '.onnxruntime', 'lib');
export const environment = { ...(existsSync(library) ? { UFLOW_ONNXRUNTIME: library } : {}), ...process.env };

async function uflow(...words) {
  const { stdout } = await promisify(execFile)(program, words, { env: environment, maxBuffer: 1 << 28 });
  return stdout;
}

/** Makes a value once. */
function once(make) {
  let made;
  return () => (made ??= make());
}

/** The folder with the model `cloth` and its pictures, which the first call makes aside and moves in place. */
export const models = once(async () => {
  const folder = process.env.UFLOW_TEST_MODELS ?? path.join(repository, 'clients', 'node', 'build', 'models');
  await mkdir(folder, { recursive: true });
  const aside = await mkdtemp(path.join(folder, '.node-'));
  const place = async (name) => {
    try {
      await rename(path.join(aside, name), path.join(folder, name));
    } catch (error) {
      // Other tests were first; theirs is as good.
      assert.ok(existsSync(path.join(folder, name)), error);
    }
  };
  const pictures = path.join(folder, 'D');
  if (!existsSync(pictures)) {
    await uflow('demo', '--data-only', '--out', path.join(aside, 'D'), '--products', 'woven-cloth', '--train', '60');
    await place('D');
  }
  if (!existsSync(path.join(folder, 'cloth', '1', 'uflow.json'))) {
    const good = path.join(pictures, 'data', 'woven_cloth', 'train', 'good');
    const backbone = path.join(repository, 'assets', 'photonet.onnx');
    const out = path.join(aside, 'cloth', '1');
    await mkdir(path.dirname(out));
    await uflow(
      ...['fit', '--name', 'cloth', '--good', good, '--out', out, '--epochs', '3', '--input-size', '96', '--json', '--backbone', backbone],
    );
    await place('cloth');
  }
  await rm(aside, { recursive: true });
  return folder;
});

/** What a detection says, in numbers that can be compared to the bit. */
export function verdictOf(detection) {
  return {
    score: detection.score,
    scoreMax: detection.scoreMax,
    log10NfaMin: detection.log10NfaMin,
    anomalous: detection.anomalous,
    pValue: detection.pValue,
    pExtrapolated: detection.pExtrapolated,
    areas: detection.regions.map((region) => region.area),
  };
}

/** Reads pictures and asks `uflow detect` for their verdicts. */
async function judge(files) {
  const lines = await uflow('detect', '--model', path.join(await models(), 'cloth', '1'), '--json', ...files);
  const found = new Map(
    lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .map((verdict) => [verdict.path, verdict]),
  );
  return Promise.all(
    files.map(async (file) => {
      const said = found.get(file);
      assert.ok(said, `the command gives no verdict on ${file}`);
      const verdict = {
        score: Math.fround(said.score),
        scoreMax: Math.fround(said.score_max),
        log10NfaMin: Math.fround(said.log10_nfa_min),
        anomalous: said.anomalous,
        pValue: said.p_value ?? undefined,
        pExtrapolated: said.p_extrapolated ?? false,
        areas: said.regions.map((region) => region.area),
      };
      return { file, bytes: await readFile(file), verdict };
    }),
  );
}

/** Test pictures of every kind, good and bad. */
export const large = once(async () => {
  const folder = path.join(await models(), 'D', 'data', 'woven_cloth', 'test');
  const kinds = (await readdir(folder)).sort();
  const files = await Promise.all(
    kinds.map(async (kind) => (await readdir(path.join(folder, kind))).sort().map((name) => path.join(folder, kind, name))),
  );
  return judge(files.flatMap((names) => names.filter((name) => name.endsWith('.png')).slice(0, 3)));
});

/** The centres of test pictures. The server needs a few milliseconds for one. */
export const small = once(async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'uflow-node-'));
  try {
    const pictures = await large();
    const files = pictures.map((_, i) => path.join(folder, `${String(i).padStart(3, '0')}.png`));
    await Promise.all(pictures.map(({ bytes }, i) => writeFile(files[i], encodePng(crop(decodePng(bytes), 80, 80, 96)))));
    return await judge(files);
  } finally {
    await rm(folder, { recursive: true });
  }
});
