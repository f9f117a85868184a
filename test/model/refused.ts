import assert from 'node:assert/strict'
import { ElectraClassifier, ElectraError } from '../../lib/index'

/** Asserts that a model is refused: with this code, and one sentence that says what is wrong. */
export async function refused(path: string, code: string, message: RegExp): Promise<void> {
  await assert.rejects(ElectraClassifier.load(path), (error) => {
    assert.ok(error instanceof ElectraError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    assert.doesNotMatch(error.message, /\n|Exception raised from|frame #/)
    return true
  })
}
