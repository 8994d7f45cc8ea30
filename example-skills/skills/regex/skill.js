// A skill in JavaScript: finds and replaces with regular expressions.
//
// Build it with componentize-js against Moxxy's WIT, as `build.mjs` does.

const text = { type: 'string', description: 'The text to work on.' };
const pattern = { type: 'string', description: 'A JavaScript regular expression, without slashes.' };
const flags = { type: 'string', description: 'Its flags, such as "i"; "g" is always on.' };
const hints = { readOnly: true, idempotent: true, requiresApproval: false };

const schema = (properties, required) =>
  JSON.stringify({ type: 'object', properties, required, additionalProperties: false });

export const plugin = {
  getManifest: () => ({
    name: 'regex',
    version: '0.1.0',
    description: 'Finds and replaces with regular expressions.',
    hosts: [],
    secrets: [],
    limits: {},
  }),
};

export const tools = {
  listTools: () => [
    {
      name: 'find',
      description: 'Find all matches of a regular expression in a text.',
      parameters: schema({ text, pattern, flags }, ['text', 'pattern']),
      hints,
    },
    {
      name: 'replace',
      description: 'Replace all matches of a regular expression in a text.',
      parameters: schema({ text, pattern, flags, replacement: { type: 'string' } }, ['text', 'pattern', 'replacement']),
      hints,
    },
  ],

  call(tool, input) {
    const { text, pattern, flags, replacement } = JSON.parse(input);
    const expression = compile(pattern, flags);
    if (typeof text !== 'string') throw { tag: 'invalid', val: '`text` has to be a string' };
    switch (tool) {
      case 'find':
        return json([...text.matchAll(expression)].map((match) => match[0]));
      case 'replace':
        return { content: text.replace(expression, String(replacement)), mediaType: 'text/plain' };
      default:
        throw { tag: 'invalid', val: `there is no tool \`${tool}\`` };
    }
  },
};

function compile(pattern, flags = '') {
  try {
    return new RegExp(pattern, [...new Set(`${flags}g`)].join(''));
  } catch (error) {
    throw { tag: 'invalid', val: `\`pattern\` is wrong: ${error.message}` };
  }
}

function json(value) {
  return { content: JSON.stringify(value), mediaType: 'application/json' };
}
