// Without a server: the frame that is wanted is decoded from the page itself, and put where a server would put it.
let wanted = null
let busy = false

const decode = async (text, type, target) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
  const image = await createImageBitmap(new Blob([bytes], {type}), {colorSpaceConversion: "none"})
  const canvas = new OffscreenCanvas(image.width, image.height)
  const context = canvas.getContext("2d", {willReadFrequently: true})
  context.drawImage(image, 0, 0)
  const rgba = context.getImageData(0, 0, image.width, image.height).data
  for (let i = 0; i < target.length; i++) target[i] = rgba[4 * i]
}

export default async ({slider, source, film, clock}) => {
  wanted = slider.value
  if (busy) return
  busy = true
  while (source.data.frame[0] != wanted) {
    const frame = wanted
    const at = Math.round((frame - slider.start) / slider.step)
    await decode(film.data.gray[at], "image/jpeg", source.data.gray[0])
    await decode(film.data.code[at], "image/png", source.data.code[0])
    source.data.frame[0] = frame
    clock.text = film.data.clock[at]
    source.change.emit()
  }
  busy = false
}
