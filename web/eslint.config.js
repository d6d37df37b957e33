import js from "@eslint/js";
import svelte from "eslint-plugin-svelte";
import globals from "globals";
import ts from "typescript-eslint";

export default ts.config(
    { ignores: ["dist/", "src/wasm/"] },
    js.configs.recommended,
    ...ts.configs.recommended,
    ...svelte.configs.recommended,
    {
        languageOptions: { globals: { ...globals.browser } },
        rules: {
            // TypeScript itself finds undefined names.
            "no-undef": "off",
            eqeqeq: "error",
            // Everything shown comes from a peer that may be hostile: text nodes only.
            "svelte/no-at-html-tags": "error",
            "no-restricted-properties": [
                "error",
                { property: "innerHTML", message: "Text nodes only." },
                { property: "outerHTML", message: "Text nodes only." },
                { property: "insertAdjacentHTML", message: "Text nodes only." },
            ],
        },
    },
    {
        files: ["**/*.svelte", "**/*.svelte.ts"],
        languageOptions: { parserOptions: { parser: ts.parser } },
    },
);
