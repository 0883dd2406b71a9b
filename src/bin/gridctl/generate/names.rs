//! Completion of names that the broker knows, added to what clap makes for each shell.
//!
//! Guarantees that a shell whose gridctl finds no broker completes as it did without. The script asks
//! `gridctl complete-names` with all that is typed up to the cursor.

use clap_complete::Shell;

/// What clap made, with names.
pub(super) fn with_names(shell: Shell, script: String) -> String {
    match shell {
        Shell::Bash => script + BASH,
        // zsh calls the function that has the file's name: clap's becomes a part of it.
        Shell::Zsh => script
            .replace("\n_gridctl() {", "\n_gridctl_words() {")
            .replace("\nif [ \"$funcstack", &format!("{ZSH}\nif [ \"$funcstack")),
        Shell::Fish => script + FISH,
        Shell::Elvish | Shell::PowerShell | _ => script,
    }
}

/// bash splits words at colons, which names of appliances have: what stands before the last one is
/// on the line already.
const BASH: &str = r#"
_gridctl_names() {
    _gridctl "$@"
    local line=${COMP_LINE:0:COMP_POINT} word keep=""
    [[ -n $line ]] || line="${COMP_WORDS[*]:0:COMP_CWORD+1}"
    local -a words offered=()
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local last=${words[${#words[@]}-1]}
    [[ $last == *:* && $COMP_WORDBREAKS == *:* ]] && keep=${last%"${last##*:}"}
    for word in "${COMPREPLY[@]}"; do
        # clap offers what stands for a value, too.
        [[ $word == "<"* || $word == "["* ]] || offered+=("$word")
    done
    while IFS= read -r word; do
        [[ -n $word ]] && offered+=("${word#"$keep"}")
    done < <("${words[0]}" complete-names "${words[@]:1}" 2>/dev/null)
    COMPREPLY=("${offered[@]}")
}
complete -F _gridctl_names -o bashdefault -o default gridctl
"#;

const ZSH: &str = r#"
_gridctl() {
    local -a names
    names=(${(f)"$(${words[1]} complete-names "${(@Q)words[2,CURRENT]}" 2>/dev/null)"})
    (( $#names )) && compadd -a names
    _gridctl_words "$@"
}
"#;

const FISH: &str = "
complete -c gridctl -a '(gridctl complete-names (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
";
