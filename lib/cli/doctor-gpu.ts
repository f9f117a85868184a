import { readFileSync } from 'node:fs'
import { hasSystemLibrary, type Inspected } from '../libtorch/inspect'
import type { Check } from './doctor-checks'

const KERNEL_DRIVER = '/proc/driver/nvidia/version'

/** NVIDIA's driver, which no download brings: its version, and whether this libtorch can make use of it. */
export function gpuCheck(libtorch: Inspected | undefined): Check {
  const version = driverVersion()
  const library = process.platform === 'linux' && hasSystemLibrary('libcuda.so.1')
  const facts = { driver: version, library }
  if (version === undefined && !library) {
    const idle = libtorch?.variant === 'cuda'
    return {
      ok: true,
      found: 'no NVIDIA driver',
      details: idle
        ? ["this CUDA build runs on the CPU here; for device 'cuda' install NVIDIA's driver (libcuda.so.1)"]
        : [],
      facts,
    }
  }
  const found = `NVIDIA driver ${version ?? '(version unknown)'}`
  if (!library) {
    return {
      ok: true,
      found: `${found}, but no libcuda.so.1`,
      details: ["for device 'cuda' in a container, start it with the NVIDIA container toolkit (--gpus all)"],
      facts,
    }
  }
  const unused = libtorch?.variant === 'cpu'
  return {
    ok: true,
    found,
    details: unused
      ? [
          'this CPU build cannot use it; one that can: npx electra-classifier install-libtorch --variant cu126',
        ]
      : [],
    facts,
  }
}

function driverVersion(): string | undefined {
  try {
    return /\b(\d{3,}\.\d+(?:\.\d+)?)\b/.exec(readFileSync(KERNEL_DRIVER, 'utf8'))?.[1]
  } catch {
    return undefined
  }
}
