import { ElectraClassifier, ElectraError, type ErrorCode } from 'electra-classifier'
import { reportText, type Report } from 'electra-classifier/evaluate'

export const print = (report: Report): string => reportText(report)

export async function run(): Promise<ErrorCode | string> {
  try {
    return (await (await ElectraClassifier.load('model.pt')).classify('text')).label
  } catch (error) {
    if (error instanceof ElectraError) return error.code
    throw error
  }
}
