// The one class of errors.

export class CorestoreError extends Error {
  constructor(message, code) {
    super(message)
    this.code = code
  }

  get name() {
    return 'CorestoreError'
  }
}

export function fail(code, message) {
  return new CorestoreError(message, code)
}
