// Making elements: `el('button', { type: 'button', onclick }, 'Text', child)`.

export function el (tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue
    if (name.startsWith('on') || name in PROPERTIES) element[PROPERTIES[name] ?? name] = value
    else element.setAttribute(name, value)
  }
  element.append(...children.filter((child) => child !== null && child !== undefined))
  return element
}

// These have no attribute of the same meaning.
const PROPERTIES = { className: 'className', hidden: 'hidden', value: 'value', checked: 'checked', disabled: 'disabled' }

export const byId = (id) => document.getElementById(id)

/** A button that copies a text and says so. */
export function copyButton (text, what) {
  const label = `Copy ${what}`
  const button = el('button', { type: 'button', className: 'copy', 'aria-label': label, title: label }, 'copy')
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text)
      button.textContent = 'copied'
    } catch {
      button.textContent = 'not allowed'
    }
    setTimeout(() => { button.textContent = 'copy' }, 1500)
  }
  return button
}

/** `f`, at most once in `ms` milliseconds, and once more when it was called in between. */
export function throttle (ms, f) {
  let timer = null
  let again = false
  const run = () => {
    timer = null
    if (!again) return
    again = false
    start()
  }
  const start = () => {
    timer = setTimeout(run, ms)
    f()
  }
  return () => {
    if (timer === null) start()
    else again = true
  }
}
