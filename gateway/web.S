/* web.S - the pages of gateway/web/ inside the program, each between two symbols; see static.c. */
    .section .rodata

    .macro page name, path
    .balign 8
    .global web_\name
    .global web_\name\()_end
web_\name:
    .incbin "\path"
web_\name\()_end:
    .byte 0
    .endm

    page index_html, "gateway/web/index.html"
    page app_js, "gateway/web/app.js"
    page client_js, "gateway/web/client.js"
    page text_js, "gateway/web/text.js"
    page style_css, "gateway/web/style.css"

    .section .note.GNU-stack, "", %progbits
