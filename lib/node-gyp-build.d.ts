declare module 'node-gyp-build' {
  /** Finds the compiled addon of the package in `folder`. */
  const nodeGypBuild: {
    (folder: string): unknown
    /** The path only; throws where there is none. */
    path(folder: string): string
  }
  export = nodeGypBuild
}
