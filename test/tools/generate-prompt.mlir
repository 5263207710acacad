// A prompt comes from an option, a file or standard input, byte for byte.
// RUN: printf 'Hi\n' > %t.txt
// RUN: kforge-run generate --model random:tiny --file %t.txt --max-tokens 1 --json 2>&1 | FileCheck %s
// RUN: kforge-run generate --model random:tiny --file - --max-tokens 1 --json < %t.txt 2>&1 | FileCheck %s
// RUN: kforge-run generate --model random:tiny --max-tokens 1 --json < %t.txt 2>&1 | FileCheck %s
// RUN: not kforge-run generate --model random:tiny --prompt Hi --file %t.txt 2>&1 | FileCheck %s --check-prefix=BOTH
// RUN: not kforge-run generate --model random:tiny --file %t.none 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: printf 'a\377' > %t.latin
// RUN: not kforge-run generate --model random:tiny --file %t.latin 2>&1 | FileCheck %s --check-prefix=LATIN
// RUN: not kforge-run generate --model random:tiny < %t.latin 2>&1 | FileCheck %s --check-prefix=INPUT
// RUN: printf '' > %t.empty
// RUN: not kforge-run generate --model random:tiny < %t.empty 2>&1 | FileCheck %s --check-prefix=EMPTY

// CHECK: {"prompt_ids":[72,105,10],
// BOTH: error: the argument '--prompt <TEXT>' cannot be used with '--file <FILE>'
// NONE: the prompt cannot be read from {{.*}}.none
// LATIN: the prompt in {{.*}}.latin is not valid UTF-8 at byte 1; convert it to UTF-8
// INPUT: the prompt in standard input is not valid UTF-8 at byte 1; convert it to UTF-8
// EMPTY: the prompt is empty; give at least one token
