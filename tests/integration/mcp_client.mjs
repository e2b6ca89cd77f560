// The official MCP client on `glassbox mcp` or on /mcp: prints what it got as one JSON document.
//   node mcp_client.mjs VM stdio GLASSBOX          node mcp_client.mjs VM http URL TOKEN
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [vm, kind, where, token] = process.argv.slice(2);
const transport = kind === "stdio"
	? new StdioClientTransport({ command: where, args: ["mcp"], env: process.env })
	: new StreamableHTTPClientTransport(new URL(where), {
		requestInit: token ? { headers: { Authorization: `Bearer ${token}` } } : {},
	});
const client = new Client({ name: "glassbox-test", version: "1" });
await client.connect(transport);

async function call(name, args = {}) {
	const answer = await client.callTool({ name, arguments: args });
	const [content] = answer.content;
	const image = answer.content.find((part) => part.type === "image");
	if (image) return { image: image.mimeType, bytes: Buffer.from(image.data, "base64").length };
	if (answer.isError) return { error: content.text };
	return answer.structuredContent ?? JSON.parse(content.text);
}

async function refusal(work) {
	try {
		await work();
		return null;
	} catch (error) {
		return error.code ?? String(error);
	}
}

const { tools } = await client.listTools();
const { resources } = await client.listResources();
const { resourceTemplates } = await client.listResourceTemplates();
console.log(JSON.stringify({
	server: client.getServerVersion(),
	capabilities: client.getServerCapabilities(),
	tools: tools.map((tool) => ({ name: tool.name, required: tool.inputSchema.required ?? [], readOnly: tool.annotations?.readOnlyHint,
		undescribed: Object.entries(tool.inputSchema.properties ?? {}).filter(([, p]) => !p.description).map(([n]) => n) })),
	ls: await call("ls"),
	ps: await call("ps", { vm }),
	ask: await call("ask", { vm, question: "how many processes are running?" }),
	render: await call("render", { vm, size: "64x64" }),
	kernels: await call("kernels"),
	offload: await call("offload", { vm }),
	nobody: await call("ps", { vm: "nobody" }),
	wrong: await call("vtop", { vm }),
	pause: await call("pause", { vm }),
	resume: await call("resume", { vm }),
	resources: resources.map((resource) => resource.uri),
	templates: resourceTemplates.map((template) => template.uriTemplate),
	status: JSON.parse((await client.readResource({ uri: `glassbox://vm/${vm}` })).contents[0].text),
	processes: JSON.parse((await client.readResource({ uri: `glassbox://vm/${vm}/ps` })).contents[0].text),
	unknown_tool: await refusal(() => client.callTool({ name: "nonsense", arguments: {} })),
	unknown_resource: await refusal(() => client.readResource({ uri: "glassbox://vm/nobody" })),
	ping: await client.ping(),
}));
await client.close();
