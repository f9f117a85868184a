// The package's own types import each other without file extensions, which Node's resolution refuses.
declare module '@huggingface/tokenizers' {
  export class Tokenizer {
    constructor(tokenizer: object, config: object)
    encode(text: string): { ids: number[] }
    id_to_token(id: number): string | undefined
    get_vocab(): Map<string, number>
  }
}
