/** One line `Requires-Dist` of a wheel's METADATA. */
export interface Requirement {
  /** Normalised: lower case, with hyphens. */
  project: string
  extras: readonly string[]
  /** Whether a version such as `13.0.88` satisfies it. */
  accepts: (version: string) => boolean
  /** As it was written, without its conditions. */
  text: string
}

/** What the conditions of requirements may ask for, as Python would answer on this machine. */
type Answers = Record<string, string>

const SYSTEMS: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'Linux',
  darwin: 'Darwin',
  win32: 'Windows',
}
const MACHINES: Record<string, string> = {
  'linux-x64': 'x86_64',
  'linux-arm64': 'aarch64',
  'win32-x64': 'AMD64',
}

/**
 * The requirements that hold on this machine.
 *
 * @param metadata text of a wheel's METADATA
 * @param extras those that were asked for, as in `cuda-toolkit[cublas]`
 */
export function requirementsOf(metadata: string, extras: readonly string[] = []): Requirement[] {
  return metadata
    .split(/\r?\n\r?\n/, 1)
    .flatMap((head) => head.split(/\r?\n/))
    .flatMap((line) => /^Requires-Dist:\s*(.+)$/.exec(line)?.[1] ?? [])
    .flatMap((text) => {
      const [wanted = '', condition = ''] = text.split(';', 2)
      return ['', ...extras].some((extra) => holds(condition, extra)) ? [parse(wanted.trim())] : []
    })
}

/** As PEP 503 has it: the same for `NVIDIA_cuDNN.cu13` and `nvidia-cudnn-cu13`. */
export function normalised(project: string): string {
  return project.toLowerCase().replace(/[-_.]+/g, '-')
}

function parse(text: string): Requirement {
  const [, name = '', extras = '', rest = ''] =
    /^([\w.-]+)\s*(?:\[([^\]]*)\])?\s*\(?([^)]*)\)?$/.exec(text) ?? []
  const specifiers = rest
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)
  return {
    project: normalised(name),
    extras: extras
      .split(',')
      .map((extra) => extra.trim())
      .filter(Boolean),
    accepts: (version) => specifiers.every((specifier) => satisfies(version, specifier)),
    text,
  }
}

function satisfies(version: string, specifier: string): boolean {
  const [, operator = '', wanted = ''] = /^(===?|~=|!=|<=|>=|<|>)\s*(\S+)$/.exec(specifier) ?? []
  if (wanted.endsWith('.*')) {
    const prefix = numbers(wanted.slice(0, -2))
    const same = prefix.every((number, place) => (numbers(version)[place] ?? 0) === number)
    return operator === '!=' ? !same : same
  }
  // A local part (+cu130) counts only where it was asked for.
  if (wanted.includes('+')) return version === wanted
  const order = compareVersions(version, wanted)
  switch (operator) {
    case '==':
    case '===':
      return order === 0
    case '!=':
      return order !== 0
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '>':
      return order > 0
    case '~=':
      return order >= 0 && satisfies(version, `==${wanted.replace(/\.\d+$/, '')}.*`)
    default:
      return order >= 0
  }
}

/** By the numbers, as far as a `+` or a letter. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbers(a), numbers(b)]
  for (let place = 0; place < Math.max(left.length, right.length); place += 1) {
    const difference = (left[place] ?? 0) - (right[place] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function numbers(version: string): number[] {
  return (/^\d+(?:\.\d+)*/.exec(version)?.[0] ?? '0').split('.').map(Number)
}

/** `or` binds weaker than `and`; what stands in brackets is decided first. */
function holds(condition: string, extra: string): boolean {
  const system = SYSTEMS[process.platform] ?? ''
  const answers: Answers = {
    extra,
    platform_system: system,
    sys_platform: process.platform,
    platform_machine: MACHINES[`${process.platform}-${process.arch}`] ?? process.arch,
    os_name: process.platform === 'win32' ? 'nt' : 'posix',
    implementation_name: 'cpython',
    platform_python_implementation: 'CPython',
    // None runs here; it is the one whose wheel is taken.
    python_version: '3.11',
    python_full_version: '3.11.0',
  }
  let text = condition.trim()
  if (text === '') return extra === ''
  // Asked without an extra, a condition about one is false; with one, what does not depend on it was taken before.
  if (extra !== '' && !/\bextra\b/.test(text)) return false
  for (;;) {
    const inner = /\(([^()]*)\)/.exec(text)
    if (!inner) return anyOf(text, answers)
    text = text.replace(inner[0], anyOf(inner[1] ?? '', answers) ? "'1'=='1'" : "'1'=='0'")
  }
}

function anyOf(text: string, answers: Answers): boolean {
  return text
    .split(/\bor\b/)
    .some((all) => all.split(/\band\b/).every((one) => compares(one.trim(), answers)))
}

function compares(text: string, answers: Answers): boolean {
  const [, left = '', operator = '', right = ''] = /^(\S+?)\s*(==|!=|<=|>=|<|>)\s*(\S+)$/.exec(text) ?? []
  const value = (word: string): string => /^(['"])(.*)\1$/.exec(word)?.[2] ?? answers[word] ?? ''
  if (left.includes('version')) return satisfies(value(left), `${operator}${value(right)}`)
  return operator === '!=' ? value(left) !== value(right) : operator === '==' && value(left) === value(right)
}
