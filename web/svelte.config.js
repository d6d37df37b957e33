export default {
    compilerOptions: {
        runes: true,
        // Fragments are made node by node, so the page needs no innerHTML and no trusted-types policy for it.
        fragments: "tree",
    },
};
