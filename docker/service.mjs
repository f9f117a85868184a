import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { ElectraClassifier } from 'electra-classifier'

const classifier = await ElectraClassifier.load(undefined, { device: process.env.DEVICE ?? 'auto' })

const server = createServer(async (request, response) => {
  const send = (status, body) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  if (request.method !== 'POST' || request.url !== '/sentiment')
    return send(404, { error: 'POST /sentiment' })
  try {
    const { text } = await json(request)
    const { label, score } = await classifier.classify(text)
    send(200, { label, score })
  } catch (error) {
    // No JSON, no text in it, or one that is too long: the caller's part. The rest is ours.
    const given = error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError
    send(given ? 400 : 500, { error: error.message })
  }
})

// As the first process of a container it gets no default handling of signals.
process.once('SIGTERM', () => server.close(() => classifier.close()))

server.listen(Number(process.env.PORT ?? 3000), () => {
  console.log(`${classifier.device}, listening on port ${server.address().port}`)
})
