import { ElectraClassifier, ElectraError, type ErrorCode } from 'electra-classifier'

export async function run(): Promise<ErrorCode | string> {
  try {
    return (await (await ElectraClassifier.load('model.pt')).classify('text')).label
  } catch (error) {
    if (error instanceof ElectraError) return error.code
    throw error
  }
}
