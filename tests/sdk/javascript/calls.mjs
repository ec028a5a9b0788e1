// One call of one unmodified JavaScript SDK through the gateway: node calls.mjs NAME, endpoint and keys by environment.
// Prints one JSON object: what the SDK gave its caller, or the error it raised.

const { GATEWAY: gateway, KEY: key, ACCESS_KEY_ID: accessKeyId, SECRET: secretAccessKey } = process.env;
const ask = process.env.PROMPT ?? "What does a weighbridge do?";
const model = process.env.MODEL;
const region = "us-east-1";
const messages = [{ role: "user", content: ask }];
const turns = [{ role: "user", content: [{ text: ask }] }];

async function azureOpenai() {
  const { AzureOpenAI } = await import("openai");
  return new AzureOpenAI({ endpoint: `${gateway}/azure`, apiKey: key, apiVersion: "2024-10-21", maxRetries: 0 });
}

async function openaiV1() {
  const { default: OpenAI } = await import("openai");
  return new OpenAI({ baseURL: `${gateway}/azure/openai/v1`, apiKey: key, maxRetries: 0 });
}

async function runtime(handler) {
  const { BedrockRuntimeClient } = await import("@aws-sdk/client-bedrock-runtime");
  return new BedrockRuntimeClient({
    endpoint: `${gateway}/bedrock`, region, credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1,
    ...(handler && { requestHandler: handler }),
  });
}

async function http1() {
  const { NodeHttpHandler } = await import("@smithy/node-http-handler");
  return new NodeHttpHandler();
}

async function converse(handler) {
  const { ConverseCommand } = await import("@aws-sdk/client-bedrock-runtime");
  const answer = await (await runtime(handler)).send(new ConverseCommand({ modelId: model, messages: turns }));
  return { text: answer.output.message.content[0].text, tokens: answer.usage.totalTokens };
}

async function converseStream(handler) {
  const { ConverseStreamCommand } = await import("@aws-sdk/client-bedrock-runtime");
  const answer = await (await runtime(handler)).send(new ConverseStreamCommand({ modelId: model, messages: turns }));
  let text = "", tokens = 0;
  for await (const event of answer.stream) {
    text += event.contentBlockDelta?.delta?.text ?? "";
    tokens = event.metadata?.usage?.totalTokens ?? tokens;
  }
  return { text, tokens };
}

async function generated(model) {
  const { generateText } = await import("ai");
  const { text, usage } = await generateText({ model, prompt: ask, maxRetries: 0 });
  return { text, tokens: usage.totalTokens };
}

async function streamed(model) {
  const { streamText } = await import("ai");
  const answer = streamText({ model, prompt: ask, maxRetries: 0, onError: ({ error }) => { throw error; } });
  let text = "";
  for await (const piece of answer.textStream) text += piece;
  return { text, tokens: (await answer.usage).totalTokens };
}

async function aiAzure() {
  const { createAzure } = await import("@ai-sdk/azure");
  return createAzure({ baseURL: `${gateway}/azure/openai`, apiKey: key });
}

async function aiBedrock() {
  const { createAmazonBedrock } = await import("@ai-sdk/amazon-bedrock");
  return createAmazonBedrock({ baseURL: `${gateway}/bedrock`, region, accessKeyId, secretAccessKey });
}

async function aiGoogle() {
  const { createGoogleGenerativeAI } = await import("@ai-sdk/google");
  return createGoogleGenerativeAI({ baseURL: `${gateway}/google/v1beta`, apiKey: key });
}

async function genai() {
  const { GoogleGenAI } = await import("@google/genai");
  return new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: `${gateway}/google` } });
}

async function foundry() {
  const { default: Anthropic } = await import("@anthropic-ai/sdk");
  return new Anthropic({ baseURL: `${gateway}/azure/anthropic`, apiKey: key, maxRetries: 0 });
}

const calls = {
  "openai AzureOpenAI chat": async () => {
    const answer = await (await azureOpenai()).chat.completions.create({ model, messages });
    return { text: answer.choices[0].message.content, tokens: answer.usage.total_tokens };
  },
  "openai AzureOpenAI chat streamed": async () => {
    const answer = await (await azureOpenai()).chat.completions.create({ model, messages, stream: true });
    let text = "";
    for await (const chunk of answer) text += chunk.choices[0]?.delta?.content ?? "";
    return { text };
  },
  "openai v1 responses streamed": async () => {
    const answer = await (await openaiV1()).responses.create({ model, input: ask, stream: true });
    let text = "", tokens = 0;
    for await (const event of answer) {
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.completed") tokens = event.response.usage.total_tokens;
    }
    return { text, tokens };
  },
  "anthropic Foundry messages streamed": async () => {
    const stream = (await foundry()).messages.stream({ model, messages, max_tokens: 200 });
    const { content, usage } = await stream.finalMessage();
    return { text: content[0].text, tokens: usage.input_tokens + usage.output_tokens };
  },
  "genai generateContent": async () => {
    const answer = await (await genai()).models.generateContent({ model, contents: ask });
    return { text: answer.text, tokens: answer.usageMetadata.totalTokenCount };
  },
  "genai generateContentStream": async () => {
    let text = "", tokens = 0;
    for await (const piece of await (await genai()).models.generateContentStream({ model, contents: ask })) {
      text += piece.text ?? "";
      tokens = piece.usageMetadata?.totalTokenCount ?? tokens;
    }
    return { text, tokens };
  },
  "AWS converse": async () => converse(),
  "AWS converseStream": async () => converseStream(),
  "AWS converse over HTTP/1.1": async () => converse(await http1()),
  "AWS converseStream over HTTP/1.1": async () => converseStream(await http1()),
  "AI SDK Azure responses": async () => generated((await aiAzure())(model)),
  "AI SDK Azure chat streamed": async () => streamed((await aiAzure()).chat(model)),
  "AI SDK Bedrock": async () => generated((await aiBedrock())(model)),
  "AI SDK Bedrock streamed": async () => streamed((await aiBedrock())(model)),
  "AI SDK Google": async () => generated((await aiGoogle())(model)),
  "AI SDK Google streamed": async () => streamed((await aiGoogle())(model)),
};

try {
  console.log(JSON.stringify(await calls[process.argv[2]]()));
} catch (error) {
  const status = error.status ?? error.statusCode ?? error.$metadata?.httpStatusCode ?? error.code ?? null;
  const name = error.name === "Error" ? error.constructor.name : error.name;
  console.log(JSON.stringify({ error: name, status, message: String(error.message).slice(0, 300) }));
}
process.exit(0);
