// node tools/check-transformers-js.mjs DIRECTORY TASK [TEXT]
//
// Loads a directory that `onnxport export onnx --layout transformers.js` has written with the npm package
// @huggingface/transformers, as a page would, in every dtype that is there, and says how far each one's answer is from
// that of fp32. Needs `npm install @huggingface/transformers` in the current directory or one above it. Nothing is
// downloaded from the Hub.
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [directory, task, text = 'The quick brown fox jumps over the lazy dog.'] = process.argv.slice(2);
if (!task) {
  console.error('usage: node tools/check-transformers-js.mjs DIRECTORY TASK [TEXT]');
  process.exit(2);
}
const path = createRequire(join(process.cwd(), 'package.json')).resolve('@huggingface/transformers');
const { env, pipeline } = await import(pathToFileURL(path));
const root = resolve(directory);
env.localModelPath = dirname(root);
env.allowRemoteModels = false;

// The library's own names of dtypes, by the ending of the file.
const endings = { fp32: '', fp16: '_fp16', q8: '_quantized', int8: '_int8', uint8: '_uint8', q4: '_q4', q4f16: '_q4f16',
                  bnb4: '_bnb4' };
const files = readdirSync(join(root, 'onnx'));
const stem = files.includes('model.onnx') ? 'model' : 'encoder_model';

function numbers(answer) {
  if (answer?.data) return Array.from(answer.data, Number);
  return null;
}

function cosine(a, b) {
  let [dot, x, y] = [0, 0, 0];
  a.forEach((value, i) => { dot += value * b[i]; x += value * value; y += b[i] * b[i]; });
  return dot / Math.sqrt(x * y);
}

const options = task === 'feature-extraction' ? { pooling: 'mean', normalize: true } : {};
let reference = null;
let failed = false;
for (const [dtype, ending] of Object.entries(endings)) {
  if (!existsSync(join(root, 'onnx', `${stem}${ending}.onnx`))) {
    console.log(`${dtype.padEnd(6)} not there`);
    continue;
  }
  try {
    const run = await pipeline(task, basename(root), { dtype, local_files_only: true });
    const answer = await run(text, options);
    const values = numbers(answer);
    reference ??= { answer, values };
    if (values) {
      console.log(`${dtype.padEnd(6)} ${values.length} numbers, cosine with fp32 ${cosine(values, reference.values).toFixed(6)}`);
    } else {
      const same = JSON.stringify(answer) === JSON.stringify(reference.answer) ? ' (as fp32)' : '';
      console.log(`${dtype.padEnd(6)} ${JSON.stringify(answer)}${same}`);
    }
    await run.dispose();
  } catch (error) {
    failed = true;
    console.log(`${dtype.padEnd(6)} FAILED: ${error.message}`);
  }
}
process.exit(failed ? 1 : 0);
